package transfer_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/zcp-go/zcp/transfer"
	"github.com/zcp-go/zcp/transfer/internal/bed"
)

// A growingFile is written while others read it.
type growingFile struct {
	*os.File
	transfer.Growing
}

func newGrowingFile(t *testing.T) *growingFile {
	f := bed.Must(os.Create(filepath.Join(t.TempDir(), "f")))(t)
	t.Cleanup(func() { f.Close() })
	return &growingFile{File: f}
}

// grow writes more, and tells of it.
func (g *growingFile) grow(t *testing.T, b []byte) {
	bed.Must(g.Write(b))(t)
	g.Grow(int64(len(b)))
}

// reader opens the file for one MoveGrowing.
func (g *growingFile) reader(t *testing.T) *transfer.Endpoint {
	return own(t, bed.Must(unix.Open(g.Name(), unix.O_RDONLY|unix.O_CLOEXEC, 0))(t))
}

// Three readers of a growing file send all of it, in whatever pieces it grows, by sendfile, and leave no
// descriptor behind.
func TestMoveGrowing(t *testing.T) {
	body := bed.Noise(3<<20, 77)
	g := newGrowingFile(t)
	before := bed.OpenDescriptors(t)
	var all, ends sync.WaitGroup
	for range 3 {
		a, b := newUnix(t)
		src, end := g.reader(t), far(t, b)
		ends.Go(func() {
			if got, err := io.ReadAll(end); err != nil || !bytes.Equal(got, body) {
				t.Errorf("%d bytes arrived, %v; want %d", len(got), err, len(body))
			}
		})
		dst := own(t, a)
		all.Go(func() {
			tr := transfer.Transfer{Discard: true}
			n, err := tr.MoveGrowing(bedContext(t), dst, src, &g.Growing, 0)
			if by, _ := tr.Stats.Path(transfer.Sendfile); err != nil || n != int64(len(body)) || by != n {
				t.Errorf("moved %d, %d of them by sendfile, %v", n, by, err)
			}
			if err := unix.Shutdown(a, unix.SHUT_WR); err != nil {
				t.Error(err)
			}
		})
	}
	for i, size := 0, 1; i < len(body); size = size*7%300_007 + 1 {
		n := min(size, len(body)-i)
		g.grow(t, body[i:i+n])
		i += n
	}
	g.End()
	all.Wait()
	ends.Wait()
	if now := bed.OpenDescriptors(t); now > before+3*3 { // the two ends and the source, of each
		t.Errorf("%d descriptors are open, %d were before", now, before)
	}
}

// While it waits for growth it ends with its context, and with what was counted but is not there.
func TestMoveGrowingEnds(t *testing.T) {
	g := newGrowingFile(t)
	a, b := newUnix(t)
	dst, end := own(t, a), far(t, b)
	g.grow(t, []byte("abc"))
	cause := errors.New("over")
	ctx, cancel := context.WithCancelCause(bedContext(t))
	src, ended := g.reader(t), make(chan error, 1)
	go func() {
		n, err := new(transfer.Transfer).MoveGrowing(ctx, dst, src, &g.Growing, 0)
		if n != 3 {
			t.Errorf("%d bytes moved, want 3", n)
		}
		ended <- err
	}()
	bed.Must(io.ReadFull(end, make([]byte, 3)))(t)
	cancel(cause)
	if err := <-ended; err != cause {
		t.Errorf("%v, want %v", err, cause)
	}
	g.Grow(5) // they were never written
	n, err := new(transfer.Transfer).MoveGrowing(bedContext(t), dst, g.reader(t), &g.Growing, 0)
	if n != 3 || !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("%d bytes, %v", n, err)
	}
}
