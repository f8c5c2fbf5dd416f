package transfer_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/zcp-go/zcp/transfer"
	"github.com/zcp-go/zcp/transfer/internal/bed"
	"github.com/zcp-go/zcp/transfer/rate"
)

// A goEnd is what a Go program has in its hands.
type goEnd interface {
	io.ReadWriteCloser
	syscall.Conn
}

// goPairs open both ends of something by the standard library: what is written to w comes out of r.
var goPairs = map[string]func(t testing.TB) (r, w goEnd){
	"os.Pipe": func(t testing.TB) (goEnd, goEnd) {
		r, w, err := os.Pipe()
		if err != nil && refusing.always["pipe2"] != 0 {
			fr, fw := newFIFO(t)
			return far(t, fr), far(t, fw)
		}
		bed.MustDo(t, err)
		return closed(t, r), closed(t, w)
	},
	"net.TCPConn":  func(t testing.TB) (goEnd, goEnd) { return netPair(t, "tcp", "127.0.0.1:0") },
	"net.UnixConn": func(t testing.TB) (goEnd, goEnd) { return netPair(t, "unix", filepath.Join(t.TempDir(), "s")) },
}

func closed[T io.Closer](t testing.TB, c T) T {
	t.Cleanup(func() { c.Close() })
	return c
}

func netPair(t testing.TB, network, address string) (goEnd, goEnd) {
	t.Helper()
	ln := closed(t, bed.Must(net.Listen(network, address))(t))
	a := bed.Must(net.Dial(network, ln.Addr().String()))(t)
	b := bed.Must(ln.Accept())(t)
	return closed(t, a.(goEnd)), closed(t, b.(goEnd))
}

// TestCopy takes the place of io.Copy and io.CopyN between everything that a program gets
// from packages os and net, and leaves both ends as usable as it found them.
func TestCopy(t *testing.T) {
	data := bed.Noise(600001, 20)
	for from, openFrom := range goPairs {
		for to, openTo := range goPairs {
			t.Run(from+" to "+to, func(t *testing.T) {
				sr, sw := openFrom(t)
				dr, dw := openTo(t)
				go sw.Write(data)
				d := bed.DrainAll(dr, len(data)+5, nil)
				var tr transfer.Transfer
				n, err := tr.CopyN(bedContext(t), dw, sr, 300000)
				if n != 300000 || err != nil {
					t.Fatal(n, err)
				}
				if n, err = tr.CopyN(bedContext(t), dw, sr, int64(len(data))-300000); n != int64(len(data))-300000 || err != nil {
					t.Fatal(n, err)
				}
				if kernel, memory := wrote(&tr); memory != 0 || kernel != int64(len(data)) {
					t.Errorf("%d bytes by the kernel's paths, %d through memory", kernel, memory)
				}
				go sw.Write([]byte("after")) // both ends serve on
				b := make([]byte, 5)
				bed.Must(io.ReadFull(sr, b))(t)
				bed.Must(dw.Write(b))(t)
				if got, err := d.Wait(); !bytes.Equal(got, append(data[:len(data):len(data)], "after"...)) {
					t.Errorf("%d bytes arrived that are not those, %v", len(got), err)
				}
			})
		}
	}
}

// TestCopyOfFiles copies files to everything and everything to a file, to the end.
func TestCopyOfFiles(t *testing.T) {
	data := bed.Noise(600001, 21)
	path := fileWith(t, data)
	for name, pair := range goPairs {
		t.Run(name, func(t *testing.T) {
			f := closed(t, bed.Must(os.Open(path))(t))
			r, w := pair(t)
			out := closed(t, bed.Must(os.Create(filepath.Join(t.TempDir(), "out")))(t))
			done := make(chan error, 1)
			go func() {
				_, err := transfer.Copy(context.Background(), w, f)
				done <- errors.Join(err, w.Close())
			}()
			if n, err := transfer.Copy(bedContext(t), out, r); n != int64(len(data)) || err != nil {
				t.Error(n, err)
			}
			bed.MustDo(t, <-done)
			if !bytes.Equal(bed.Must(os.ReadFile(out.Name()))(t), data) {
				t.Error("the file is another one")
			}
			if n, err := transfer.CopyN(bedContext(t), out, f, 10); n != 0 || err != nil { // it is at its end
				t.Error(n, err)
			}
		})
	}
}

// TestCancelled ends each wait by the context, with the context's own cause.
func TestCancelled(t *testing.T) {
	why := errors.New("because")
	for name, pair := range goPairs {
		for _, wait := range []transfer.Side{transfer.Source, transfer.Destination} {
			t.Run(fmt.Sprint(name, " ", wait), func(t *testing.T) {
				r, w := pair(t)
				var dst, src goEnd = bed.Must(os.OpenFile(os.DevNull, os.O_WRONLY, 0))(t), r
				if wait == transfer.Destination {
					dst, src = w, bed.Must(os.Open("/dev/zero"))(t)
				}
				cancelled(t, new(transfer.Transfer), dst, src, why, func(tr *transfer.Transfer) { waitsFor(t, tr, wait) })
			})
		}
	}
	t.Run("rate", func(t *testing.T) {
		zero, null := bed.Must(os.Open("/dev/zero"))(t), bed.Must(os.OpenFile(os.DevNull, os.O_WRONLY, 0))(t)
		tr := &transfer.Transfer{Limits: []*rate.Limiter{{Rate: 1}}}
		cancelled(t, tr, null, zero, why, func(tr *transfer.Transfer) {
			bed.Until(t, "the limit to be reached", func() bool { return tr.Stats.WaitRate.Load() > 0 || tr.Stats.Bytes.Load() > 0 })
		})
	})
	t.Run("before", func(t *testing.T) {
		ctx, cancel := context.WithCancelCause(context.Background())
		cancel(why)
		f := closed(t, bed.Must(os.Open(fileWith(t, []byte("x"))))(t))
		out := closed(t, bed.Must(os.Create(filepath.Join(t.TempDir(), "out")))(t))
		if n, err := transfer.Copy(ctx, out, f); n != 0 || err != why {
			t.Error(n, err)
		}
	})
}

func cancelled(t *testing.T, tr *transfer.Transfer, dst io.Writer, src io.Reader, why error, when func(*transfer.Transfer)) {
	t.Helper()
	ctx, cancel := context.WithCancelCause(bedContext(t))
	done := make(chan error, 1)
	go func() {
		_, err := tr.Copy(ctx, dst, src)
		done <- err
	}()
	when(tr)
	cancel(why)
	if err := <-done; err != why {
		t.Errorf("ended with %v, want %v", err, why)
	}
}

// TestNothingLeaks ends transfers in every way and looks at what is left of them.
func TestNothingLeaks(t *testing.T) {
	round := func(t *testing.T) {
		data := bed.Noise(300000, 1)
		for _, src := range sources {
			for _, dst := range sinks {
				movePair(t, src, dst, len(dataFor(t, src, 70000)))
			}
		}
		for _, size := range []int{0, 100 << 10, 200 << 10} {
			from, _ := fileSource(t, data)
			to, r, _ := farSink(newUnix)(t)
			tr := transfer.Transfer{PipeSize: size, Idle: time.Millisecond}
			if _, err := tr.Move(bedContext(t), to, from, -1); !errors.Is(err, transfer.ErrIdle) {
				t.Error(err)
			}
			r.Close()
			if _, err := tr.Move(bedContext(t), to, from, -1); err == nil {
				t.Error("moved to a pipe that has lost its reader")
			}
		}
	}
	t.Run("first", round)
	descriptors, goroutines := bed.OpenDescriptors(t), runtime.NumGoroutine()
	for range 5 {
		t.Run("again", round)
	}
	bed.Until(t, "the goroutines to end", func() bool { return runtime.NumGoroutine() <= goroutines })
	if n := bed.OpenDescriptors(t); n > descriptors {
		t.Errorf("%d descriptors are open, %d were before", n, descriptors)
	}
}
