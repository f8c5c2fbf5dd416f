package transfer_test

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/zcp-go/zcp/transfer"
	"github.com/zcp-go/zcp/transfer/internal/bed"
	"github.com/zcp-go/zcp/transfer/rate"
)

// A waiting is a transfer of a leased file that does not come to its end by itself.
type waiting struct {
	tr      *transfer.Transfer
	src     *transfer.Endpoint
	guarded <-chan transfer.Event // how the file is guarded
	goOn    func() error          // lets it end, and returns how it ended
}

// guardTold makes a transfer tell how it guards its first source.
func guardTold(tr *transfer.Transfer) <-chan transfer.Event {
	c := make(chan transfer.Event, 1)
	tr.Trace = func(e transfer.Event) {
		if e.Kind == transfer.Guarded && len(c) == 0 {
			c <- e
		}
	}
	return c
}

// leasedWaits are the waits in which a transfer holds a lease on the file at path.
var leasedWaits = []struct {
	name  string
	start func(t testing.TB, path string) waiting
}{
	{"for its turn", atARate},
	{"for a full socket", func(t testing.TB, path string) waiting {
		a, b := newTCP(t)
		to, r := own(t, a), far(t, b)
		smallBuffers(t, to, r)
		return leasedMove(t, path, to, r)
	}},
	{"for a full pipe", func(t testing.TB, path string) waiting {
		to, r, _ := farSink(newPipe)(t)
		return leasedMove(t, path, to, r)
	}},
	{"for the peer's end", func(t testing.TB, path string) waiting {
		conn, p := meet(t, "tcp")
		tr := &transfer.Transfer{Discard: true}
		guarded := guardTold(tr)
		src := openFor(t, path, unix.O_RDONLY)
		done := make(chan error, 1)
		go func() {
			_, err := tr.Move(context.Background(), conn.Endpoint, src, -1)
			if err == nil {
				_, err = tr.Finish(context.Background(), conn, time.Hour)
			}
			done <- err
		}()
		p.readAll()
		bed.Until(t, "all to be acknowledged", func() bool { return tr.Stats.AllAcked.Load() != 0 })
		return waiting{tr, src, guarded, func() error { p.Close(); return <-done }}
	}},
	{"for another source", func(t testing.TB, path string) waiting {
		a, b := newTCP(t)
		to, r := own(t, a), far(t, b)
		bed.DrainAll(r, -1, nil)
		src := openFor(t, path, unix.O_RDONLY)
		tr := new(transfer.Transfer)
		guarded := guardTold(tr)
		if _, err := tr.Move(bedContext(t), to, src, -1); err != nil {
			t.Fatal(err)
		}
		pr, pw := newPipe(t)
		w := far(t, pw)
		done := moving(bedContext(t), tr, to, own(t, pr), -1)
		waitsFor(t, tr, transfer.Source)
		return waiting{tr, src, guarded, func() error { w.Close(); return (<-done).err }}
	}},
	{"for another source to be opened", func(t testing.TB, path string) waiting {
		conn, p := meet(t, "tcp")
		src := openFor(t, path, unix.O_RDONLY)
		tr := &transfer.Transfer{Discard: true}
		guarded := guardTold(tr)
		go func() { _, _ = io.Copy(io.Discard, p) }() // until the test closes it
		if _, err := tr.Move(bedContext(t), conn.Endpoint, src, -1); err != nil {
			t.Fatal(err)
		}
		ctx, opened := context.WithCancel(bedContext(t))
		done := make(chan error, 1)
		go func() { done <- tr.ServeWhileWaiting(ctx, conn.Endpoint, transfer.Source) }()
		waitsFor(t, tr, transfer.Source)
		return waiting{tr, src, guarded, func() error {
			opened()
			err := <-done
			conn.CloseGracefully()
			return err
		}}
	}},
}

// atARate is a transfer that may move a byte a second.
func atARate(t testing.TB, path string) waiting {
	to, r, _ := farSink(newUnix)(t)
	bed.DrainAll(r, -1, nil)
	tr := &transfer.Transfer{Limits: []*rate.Limiter{{Rate: 1}}}
	guarded := guardTold(tr)
	src := openFor(t, path, unix.O_RDONLY)
	ctx, cancel := context.WithCancel(bedContext(t))
	done := moving(ctx, tr, to, src, -1)
	bed.Until(t, "the first byte", func() bool { return tr.Stats.Bytes.Load() > 0 })
	return waiting{tr, src, guarded, func() error { cancel(); <-done; return nil }}
}

func leasedMove(t testing.TB, path string, to *transfer.Endpoint, r *os.File) waiting {
	src := openFor(t, path, unix.O_RDONLY)
	tr := &transfer.Transfer{PipeSize: pipeSize}
	guarded := guardTold(tr)
	done := moving(bedContext(t), tr, to, src, -1)
	waitsFor(t, tr, transfer.Destination)
	return waiting{tr, src, guarded, func() error {
		bed.DrainAll(r, -1, nil)
		return (<-done).err
	}}
}

// TestWriterIsLetIn opens the file for writing while its transfer waits. The kernel would let
// the writer in after lease-break-time (45 s, longer than the bed's bed.Patience).
func TestWriterIsLetIn(t *testing.T) {
	for _, c := range leasedWaits {
		for _, write := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, writing %v", c.name, write), func(t *testing.T) {
				path := fileWith(t, bed.Noise(large, 14))
				w := c.start(t, path)
				if g := <-w.guarded; g.Guarding != transfer.Lease {
					t.Fatalf("guarded by %v, %v", g.Guarding, g.Err)
				}
				opened := make(chan error, 1)
				go func() {
					f, err := os.OpenFile(path, os.O_WRONLY, 0)
					if err == nil && write {
						_, err = f.WriteAt([]byte("new"), 10)
					}
					f.Close()
					opened <- err
				}()
				select {
				case err := <-opened:
					if err != nil {
						t.Error(err)
					}
				case <-time.After(bed.Patience):
					t.Error("the writer still waits")
				}
				if err := w.goOn(); err != nil {
					t.Error(err)
				}
				if g, _ := w.src.Guarding(); g != transfer.LeaseBroken {
					t.Errorf("guarded by %v, want %v", g, transfer.LeaseBroken)
				}
				want := map[bool]transfer.SourceState{false: transfer.Unchanged, true: transfer.Changed}[write]
				if s := w.src.Verify(); s != want {
					t.Errorf("state %v, want %v", s, want)
				}
				if kernel, memory := wrote(w.tr); strings.Contains(c.name, "full") && (memory == 0 || kernel == 0) {
					t.Errorf("%d by reference and %d copied, want the rest copied", kernel, memory)
				}
			})
		}
	}
}

// TestInheritedLeaseIsGivenBack leaves nothing on a description that others go on using.
func TestInheritedLeaseIsGivenBack(t *testing.T) {
	for name, end := range map[string]func(*transfer.Endpoint){
		"verified": func(e *transfer.Endpoint) { e.Verify() },
		"closed":   func(e *transfer.Endpoint) { e.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			path := fileWith(t, bed.Noise(large, 15))
			fd := bed.Must(unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0))(t)
			defer unix.Close(fd)
			src := bed.Must(transfer.Inherit(fd))(t)
			to, r, _ := farSink(newTCP)(t)
			bed.DrainAll(r, -1, nil)
			before := bed.OpenDescriptors(t)
			var tr transfer.Transfer
			if _, err := tr.Move(bedContext(t), to, src, -1); err != nil {
				t.Fatal(err)
			}
			if g, err := src.Guarding(); g != transfer.Lease {
				t.Errorf("guarded by %v, %v", g, err)
			}
			if typ := bed.Must(unix.FcntlInt(uintptr(fd), unix.F_GETLEASE, 0))(t); typ != unix.F_UNLCK {
				t.Errorf("the lease lies on the description of others: %d", typ)
			}
			end(src)
			f, err := os.OpenFile(path, os.O_WRONLY|unix.O_NONBLOCK, 0) // which fails at once while there is a lease
			if err != nil {
				t.Error(err)
			}
			f.Close()
			if after := bed.OpenDescriptors(t); after > before {
				t.Errorf("%d descriptors, %d before", after, before)
			}
			if bed.Must(unix.Seek(fd, 0, 1))(t) != large {
				t.Error("the offset that is shared with others is not at the end")
			}
		})
	}
}

// TestVerify changes a source that cannot be kept from changing, while it is sent.
func TestVerify(t *testing.T) {
	inPlace := func(t testing.TB, path string) { overwrite(t, path) }
	add := func(t testing.TB, path string) {
		f := bed.Must(os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0))(t)
		defer f.Close()
		bed.Must(f.Write(bed.Noise(5000, 1)))(t)
	}
	for _, c := range []struct {
		name   string
		change func(t testing.TB, path string)
		limit  int64
		want   transfer.SourceState
	}{
		{"nothing", func(testing.TB, string) {}, -1, transfer.Unchanged},
		{"chmod", func(t testing.TB, path string) { bed.MustDo(t, os.Chmod(path, 0o600)) }, -1, transfer.MetadataChanged},
		{"link", func(t testing.TB, path string) { bed.MustDo(t, os.Link(path, path+".link")) }, -1, transfer.MetadataChanged},
		{"replaced by name", func(t testing.TB, path string) { bed.MustDo(t, os.Rename(fileWith(t, nil), path)) }, -1, transfer.MetadataChanged},
		{"append", add, -1, transfer.Grew},
		{"append behind what is wanted", add, large - 300000, transfer.Grew},
		{"write in place", inPlace, -1, transfer.Changed},
		{"append and write in place", func(t testing.TB, path string) { add(t, path); inPlace(t, path) }, -1, transfer.Changed},
		{"truncate", func(t testing.TB, path string) { bed.MustDo(t, os.Truncate(path, large-300000)) }, -1, transfer.Changed},
		{"truncate to nothing", func(t testing.TB, path string) { bed.MustDo(t, os.Truncate(path, 0)) }, -1, transfer.Changed},
		{"rewrite", func(t testing.TB, path string) { bed.MustDo(t, os.WriteFile(path, bed.Noise(large, 99), 0o644)) }, -1, transfer.Changed},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "log")
			bed.MustDo(t, os.WriteFile(path, bed.Noise(large, 16), 0o644))
			writer := bed.Must(os.OpenFile(path, os.O_WRONLY, 0))(t) // so no lease is granted
			defer writer.Close()
			src := openFor(t, path, unix.O_RDONLY)
			to, r, _ := farSink(newPipe)(t)
			tr := transfer.Transfer{PipeSize: pipeSize}
			done := moving(bedContext(t), &tr, to, src, c.limit)
			waitsFor(t, &tr, transfer.Destination)
			c.change(t, path)
			d := bed.DrainAll(r, -1, nil)
			o := <-done
			to.Close()
			got, _ := d.Wait()
			if o.err != nil || o.n != int64(len(got)) {
				t.Errorf("moved %d, %v, arrived %d", o.n, o.err, len(got))
			}
			if c.want == transfer.Grew && o.n != wanted(c.limit) {
				t.Errorf("%d bytes moved of a file that only grew", o.n)
			}
			if s := src.Verify(); s != c.want {
				t.Errorf("state %v, want %v", s, c.want)
			}
		})
	}
}

// TestEmptyFileFills sends a file that was empty when it was looked at: what came into it
// meanwhile cannot pass for what it held at the start.
func TestEmptyFileFills(t *testing.T) {
	path := fileWith(t, nil)
	writer := bed.Must(os.OpenFile(path, os.O_WRONLY, 0))(t)
	defer writer.Close()
	src := openFor(t, path, unix.O_RDONLY)
	to, r, _ := farSink(newPipe)(t)
	tr := transfer.Transfer{Trace: func(e transfer.Event) {
		if e.Kind == transfer.Planned { // it was looked at, and nothing was read yet
			bed.Must(writer.WriteString("late"))(t)
		}
	}}
	n, err := tr.Move(bedContext(t), to, src, -1)
	to.Close()
	if got := bed.Must(io.ReadAll(r))(t); err != nil || n != int64(len(got)) {
		t.Errorf("moved %d, %v, arrived %d", n, err, len(got))
	}
	if s := src.Verify(); n > 0 && s != transfer.Changed {
		t.Errorf("%d bytes of a file that was empty: state %v, want %v", n, s, transfer.Changed)
	}
}

// wanted is how many bytes of a large file a limit asks for.
func wanted(limit int64) int64 {
	if limit < 0 {
		return large
	}
	return limit
}
