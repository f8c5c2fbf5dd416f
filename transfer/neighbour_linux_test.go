package transfer_test

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/zcp-go/zcp/transfer"
	"github.com/zcp-go/zcp/transfer/internal/bed"
)

// TestUsersPipeGrows asks for pipes of pipeSize: the user's own grow to it and never shrink.
func TestUsersPipeGrows(t *testing.T) {
	capacity := func(fd int) int { return bed.Must(unix.FcntlInt(uintptr(fd), unix.F_GETPIPE_SZ, 0))(t) }
	for _, c := range []struct {
		had, want int
		memory    bool
	}{
		{4096, pipeSize, false}, {64 << 10, pipeSize, false}, {pipeSize, pipeSize, false}, {512 << 10, 512 << 10, false},
		{64 << 10, 64 << 10, true},
	} {
		for _, source := range []bool{true, false} {
			t.Run(fmt.Sprintf("%d, source %v, memory %v", c.had, source, c.memory), func(t *testing.T) {
				r, w := newPipe(t)
				bed.Must(unix.FcntlInt(uintptr(w), unix.F_SETPIPE_SZ, c.had))(t)
				tr := transfer.Transfer{PipeSize: pipeSize, NoSplice: c.memory}
				src, dst := openFor(t, "/dev/null", unix.O_RDONLY), openFor(t, "/dev/null", unix.O_WRONLY)
				far, near := r, w
				if source {
					far, near = w, r
					unix.Write(w, []byte("some"))
					src = own(t, r)
				} else {
					dst = own(t, w)
				}
				if _, err := tr.Move(bedContext(t), dst, src, 4); err != nil {
					t.Fatal(err)
				}
				if got := capacity(near); got != c.want {
					t.Errorf("%d bytes, want %d", got, c.want)
				}
				unix.Close(far)
			})
		}
	}
}

// end makes an endpoint that blocks as an inherited one does, or not.
func end(t testing.TB, fd int, blocking bool) *transfer.Endpoint {
	t.Helper()
	if !blocking {
		return own(t, fd)
	}
	e := bed.Must(transfer.NewEndpoint(fd))(t)
	t.Cleanup(func() { unix.Close(fd) })
	return e
}

// promptly runs what a neighbour does with a pipe, which has to come back at once. A
// splice that waits with the pipe's lock held would keep it, unkillably, until the splice ends.
func promptly(t *testing.T, what string, f func() error) {
	t.Helper()
	done := make(chan error, 1)
	go func() { done <- f() }()
	select {
	case err := <-done:
		if err != nil {
			t.Errorf("%s: %v", what, err)
		}
	case <-time.After(bed.Patience / 4):
		t.Errorf("%s: the neighbour is kept waiting", what)
	}
}

// TestReaderIsNotKept waits for a silent source with bytes in the user's pipe: its reader can
// ask how many, and read them.
func TestReaderIsNotKept(t *testing.T) {
	for name, pair := range map[string]func(testing.TB) (int, int){"TCP": newTCP, "Unix": newUnix, "pipe": newPipe, "terminal": newTerminal} {
		for _, blocking := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, blocking %v", name, blocking), func(t *testing.T) {
				sr, sw := pair(t)
				r, w := newPipe(t)
				writer, reader := far(t, sw), far(t, r)
				src, dst := end(t, sr, blocking), end(t, w, blocking)
				var tr transfer.Transfer
				done := moving(bedContext(t), &tr, dst, src, 4096)
				bed.Must(writer.Write(bed.Noise(1000, 1)))(t)
				bed.Until(t, "bytes in the pipe", func() bool { return tr.Stats.Bytes.Load() == 1000 })
				waitsFor(t, &tr, transfer.Source)
				promptly(t, "FIONREAD", func() error {
					n, err := unix.IoctlGetInt(r, unix.TIOCINQ)
					if n != 1000 {
						t.Errorf("%d bytes in the pipe", n)
					}
					return err
				})
				promptly(t, "read", func() error { _, err := reader.Read(make([]byte, 500)); return err })
				nobodyInStateD(t)
				promptly(t, "read", func() error { _, err := reader.Read(make([]byte, 500)); return err })
				bed.Must(writer.Write(bed.Noise(3096, 1)))(t)
				if o := <-done; o.err != nil || o.n != 4096 {
					t.Error(o)
				}
			})
		}
	}
}

// TestWriterIsNotKept waits for a destination that takes nothing: the producer of the
// user's pipe can fill it and go on to ask.
func TestWriterIsNotKept(t *testing.T) {
	for name, pair := range map[string]func(testing.TB) (int, int){"TCP": newTCP, "Unix": newUnix, "pipe": newPipe, "terminal": newTerminal} {
		for _, blocking := range []bool{false, true} {
			if name == "terminal" && blocking {
				continue // poll calls it writable with less room than a write has bytes; Inherit opens it once more
			}
			t.Run(fmt.Sprintf("%s, blocking %v", name, blocking), func(t *testing.T) {
				r, w := newPipe(t)
				dr, dw := pair(t)
				reader, writer := far(t, dr), far(t, w)
				src, dst := end(t, r, blocking), end(t, dw, blocking)
				smallBuffers(t, dst, reader)
				tr := transfer.Transfer{PipeSize: pipeSize}
				done := moving(bedContext(t), &tr, dst, src, large)
				go feed(writer, bed.Noise(large, 1), true)
				waitsFor(t, &tr, transfer.Destination)
				bed.Until(t, "the producer to fill the pipe", func() bool {
					n, err := unix.IoctlGetInt(r, unix.TIOCINQ)
					return err != nil || n >= pipeSize-4096
				})
				promptly(t, "FIONREAD", func() error { _, err := unix.IoctlGetInt(w, unix.TIOCINQ); return err })
				nobodyInStateD(t)
				d := bed.DrainAll(reader, large, nil)
				if o := <-done; o.err != nil || o.n != large {
					t.Error(o)
				}
				<-d.Done
			})
		}
	}
}

// nobodyInStateD looks several times for a thread of ours that sleeps beyond the reach of signals.
func nobodyInStateD(t testing.TB) {
	t.Helper()
	stuck := map[string]int{}
	const looks = 5
	for range looks {
		tasks, err := os.ReadDir("/proc/self/task")
		if err != nil {
			t.Fatal(err)
		}
		for _, task := range tasks {
			stat, err := os.ReadFile("/proc/self/task/" + task.Name() + "/stat")
			if err != nil {
				continue // the thread has ended
			}
			if _, after, ok := strings.Cut(string(stat), ") "); ok && after[0] == 'D' {
				stuck[task.Name()]++
			}
		}
		time.Sleep(time.Millisecond) // between two looks
	}
	for task, n := range stuck {
		if n == looks {
			t.Errorf("thread %s is in state D", task)
		}
	}
}
