package transfer_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/zcp-go/zcp/transfer"
	"github.com/zcp-go/zcp/transfer/internal/bed"
	"github.com/zcp-go/zcp/transfer/rate"
)

// fileOf returns a source with these bytes.
func fileOf(t testing.TB, b []byte) *transfer.Endpoint {
	t.Helper()
	path := filepath.Join(t.TempDir(), "f")
	bed.MustDo(t, os.WriteFile(path, b, 0o600))
	return own(t, bed.Must(unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0))(t))
}

// TestSegments sends bytes and ranges of files as one source, over each kind of destination.
func TestSegments(t *testing.T) {
	body := bed.Noise(3<<20, 1)
	for _, to := range []string{"pipe", "tcp", "unix"} {
		t.Run(to, func(t *testing.T) {
			var r, w int
			switch to {
			case "pipe":
				r, w = newPipe(t)
			case "tcp":
				r, w = newTCP(t)
			default:
				r, w = newUnix(t)
			}
			d := bed.DrainAll(far(t, r), -1, nil)
			dst := own(t, w)
			whole, part, twice := fileOf(t, body), fileOf(t, body), fileOf(t, body)
			var tr transfer.Transfer
			var want []byte
			for _, s := range []struct {
				transfer.Segment
				want []byte
			}{
				{transfer.Segment{Bytes: []byte("header")}, []byte("header")},
				{transfer.Segment{From: whole, N: -1}, body},
				{transfer.Segment{Bytes: make([]byte, 512)}, make([]byte, 512)},
				{transfer.Segment{}, nil},
				{transfer.Segment{From: part, Skip: 1000, N: 70000}, body[1000:71000]},
				{transfer.Segment{From: twice, N: 10}, body[:10]},
				{transfer.Segment{From: twice, Skip: 5, N: -1}, body[15:]},
				{transfer.Segment{From: twice, Skip: 5, N: -1}, nil}, // beyond the end
			} {
				n, err := tr.MoveSegment(bedContext(t), dst, s.Segment)
				if err != nil || n != int64(len(s.want)) {
					t.Fatalf("%+v: %d, %v; want %d bytes", s.Segment, n, err, len(s.want))
				}
				want = append(want, s.want...)
			}
			dst.Close()
			got, err := d.Wait()
			if err != nil || !bytes.Equal(got, want) {
				t.Errorf("%d bytes, %v; want %d", len(got), err, len(want))
			}
			if n := tr.Stats.Bytes.Load(); n != int64(len(want)) {
				t.Errorf("counted %d of %d", n, len(want))
			}
			if n := tr.Stats.Offset.Load(); n != 1010 {
				t.Errorf("offset %d, want 1010", n)
			}
			for _, e := range []*transfer.Endpoint{whole, part, twice} {
				if state := e.Verify(); state != transfer.Unchanged {
					t.Errorf("the source is %v", state)
				}
			}
		})
	}
}

// TestSkipStream refuses to skip in what cannot seek, and touches neither end.
func TestSkipStream(t *testing.T) {
	r, w := newPipe(t)
	src := own(t, r)
	bed.Must(unix.Write(w, []byte("kept")))(t)
	dr, dw := newPipe(t)
	var tr transfer.Transfer
	_, err := tr.MoveSegment(bedContext(t), own(t, dw), transfer.Segment{From: src, Skip: 2, N: 2})
	var e *transfer.Error
	if !errors.As(err, &e) || e.Op != "lseek" || e.Side != transfer.Source || !errors.Is(err, unix.ESPIPE) {
		t.Errorf("%v, want lseek of the source: ESPIPE", err)
	}
	b := make([]byte, 8)
	if n := bed.Must(tr.ReadFull(bedContext(t), src, b[:4]))(t); string(b[:n]) != "kept" {
		t.Errorf("the stream holds %q", b[:n])
	}
	if n, err := far(t, dr).Read(b[:0]); n != 0 || err != nil || tr.Stats.Offset.Load() != 0 {
		t.Errorf("%d, %v, offset %d", n, err, tr.Stats.Offset.Load())
	}
}

// TestMemory writes from memory and reads into memory, over ends that block and ends that do not.
func TestMemory(t *testing.T) {
	want := bed.Noise(3<<20+7, 2)
	for name, open := range map[string]func(testing.TB) (int, int){"pipe": newPipe, "unix": newUnix, "tcp": newTCP} {
		for _, inherited := range []bool{false, true} {
			r, w := open(t)
			end := own
			if inherited {
				end = func(t testing.TB, fd int) *transfer.Endpoint {
					e := bed.Must(transfer.NewEndpoint(fd))(t)
					t.Cleanup(func() { unix.Close(fd) })
					return e
				}
			}
			dst, src := end(t, w), end(t, r)
			wrote := make(chan error, 1)
			var tr transfer.Transfer
			go func() {
				n, err := tr.Write(context.Background(), dst, want)
				if err == nil && n != int64(len(want)) {
					err = io.ErrShortWrite
				}
				wrote <- err
			}()
			got := make([]byte, len(want))
			n, err := new(transfer.Transfer).ReadFull(bedContext(t), src, got)
			if err != nil || !bytes.Equal(got[:n], want) {
				t.Errorf("%s, inherited %v: read %d of %d: %v", name, inherited, n, len(want), err)
			}
			if err := <-wrote; err != nil || tr.Stats.Bytes.Load() != int64(len(want)) {
				t.Errorf("%s, inherited %v: wrote %d: %v", name, inherited, tr.Stats.Bytes.Load(), err)
			}
		}
	}
}

// TestMemoryErrors has Write and ReadFull end as Move does: by Idle, by the context, by the
// true errno of the side, and at the end of the source.
func TestMemoryErrors(t *testing.T) {
	ctx := bedContext(t)
	r, w := newPipe(t)
	src, dst := own(t, r), own(t, w)
	idle := transfer.Transfer{Idle: 10 * time.Millisecond}
	var silent interface{ Timeout() bool }
	if _, err := idle.ReadFull(ctx, src, make([]byte, 1)); !errors.Is(err, transfer.ErrIdle) || !errors.As(err, &silent) || !silent.Timeout() {
		t.Errorf("a silent source: %v", err)
	}
	n, err := idle.Write(ctx, dst, make([]byte, 1<<20))
	if !errors.Is(err, transfer.ErrIdle) || n == 0 || n == 1<<20 || idle.Stats.Lost.Load() != 1<<20-n {
		t.Errorf("a destination that is full: %d, %v, lost %d", n, err, idle.Stats.Lost.Load())
	}
	why := errors.New("enough")
	ended, end := context.WithCancelCause(ctx)
	end(why)
	if _, err := new(transfer.Transfer).Write(ended, dst, []byte("x")); err != why {
		t.Errorf("%v, want the context's cause", err)
	}
	src.Close()
	var e *transfer.Error
	if _, err := new(transfer.Transfer).Write(ctx, dst, []byte("x")); !errors.As(err, &e) || e.Op != "write" || e.Side != transfer.Destination || e.Err != unix.EPIPE {
		t.Errorf("a broken pipe: %v", err)
	}
	b := make([]byte, 10)
	if n, err := new(transfer.Transfer).ReadFull(ctx, fileOf(t, []byte("short")), b); err != nil || string(b[:n]) != "short" {
		t.Errorf("a short source: %q, %v", b[:n], err)
	}
}

// TestMemoryLimits has what is written from memory paid for like everything else: after a
// write at 1 MiB a second the limiter owes time.
func TestMemoryLimits(t *testing.T) {
	r, w := newPipe(t)
	d := bed.DrainAll(far(t, r), -1, nil)
	limit := &rate.Limiter{Rate: 1 << 20}
	tr := transfer.Transfer{Limits: []*rate.Limiter{limit}}
	dst := own(t, w)
	for range 2 {
		bed.Must(tr.Write(bedContext(t), dst, make([]byte, 64<<10)))(t)
	}
	if tr.Stats.WaitRate.Load() == 0 {
		t.Error("the second write did not wait for the limit")
	}
	dst.Close()
	if got, err := d.Wait(); err != nil || len(got) != 128<<10 {
		t.Errorf("%d bytes, %v", len(got), err)
	}
}

// TestTraceChangesNothing makes the same transfer with and without a Trace: the same paths, the
// same number of system calls.
func TestTraceChangesNothing(t *testing.T) {
	calls := func(trace func(transfer.Event)) (s []int64) {
		r, w := newUnix(t)
		dr, dw := newUnix(t)
		bed.Must(unix.Write(w, bed.Noise(100000, 3)))(t)
		unix.Close(w)
		d := bed.DrainAll(far(t, dr), -1, nil)
		dst := own(t, dw)
		tr := transfer.Transfer{Trace: trace}
		bed.Must(tr.Move(bedContext(t), dst, own(t, r), -1))(t)
		dst.Close()
		_, err := d.Wait()
		bed.MustDo(t, err)
		for _, p := range tr.Stats.Paths() {
			n, _ := tr.Stats.Path(p)
			s = append(s, int64(p), n)
		}
		return s
	}
	var events []transfer.EventKind
	with := calls(func(e transfer.Event) { events = append(events, e.Kind) })
	if without := calls(nil); !slices.Equal(with, without) {
		t.Errorf("with a trace %v, without %v", with, without)
	}
	if want := []transfer.EventKind{transfer.Guarded, transfer.Planned, transfer.Borrowed}; !slices.Equal(events, want) {
		t.Errorf("traced %v, want %v", events, want)
	}
}
