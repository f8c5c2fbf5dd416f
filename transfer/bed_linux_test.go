package transfer_test

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/zcp-go/zcp/transfer"
)

// patience ends a test that hangs. Nothing that works ever waits for it.
const patience = 20 * time.Second

// bedContext ends after patience and with the test.
func bedContext(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

// noise returns n bytes in which no two stretches are alike, so that a lost, doubled
// or shifted byte shows. The same n and seed give the same bytes.
func noise(n int, seed uint64) []byte {
	b := make([]byte, n)
	r := rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8), 'z', 'c', 'p'})
	_, _ = r.Read(b) // ChaCha8 never fails
	return b
}

// own makes an endpoint of a descriptor, as the command does with what it opens itself.
func own(t testing.TB, fd int) *transfer.Endpoint {
	t.Helper()
	e, err := transfer.Own(fd)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	return e
}

// far wraps the neighbour's end of something. It has deadlines, so that no test waits for ever.
func far(t testing.TB, fd int) *os.File {
	t.Helper()
	if err := unix.SetNonblock(fd, true); err != nil {
		t.Fatal(err)
	}
	f := os.NewFile(uintptr(fd), "far end")
	t.Cleanup(func() { f.Close() })
	if err := f.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return f
}

func must[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// newPipe opens a pipe; where pipe2 is refused (that is what some tests are about) it
// is a FIFO without a name.
func newPipe(t testing.TB) (r, w int) {
	t.Helper()
	var p [2]int
	if unix.Pipe2(p[:], unix.O_CLOEXEC) == nil {
		return p[0], p[1]
	}
	return newFIFO(t)
}

func newFIFO(t testing.TB) (r, w int) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "fifo")
	if err := unix.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	// Opened for both first, or the open for reading alone would wait for a writer.
	both := must(unix.Open(path, unix.O_RDWR|unix.O_CLOEXEC, 0))(t)
	defer unix.Close(both)
	r = must(unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0))(t)
	w = must(unix.Open(path, unix.O_WRONLY|unix.O_CLOEXEC, 0))(t)
	return r, w
}

func newUnix(t testing.TB) (a, b int) {
	t.Helper()
	p := must(unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0))(t)
	return p[0], p[1]
}

// newTCP returns both ends of a connection over the loopback interface.
func newTCP(t testing.TB) (a, b int) {
	t.Helper()
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	l := must(unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0))(t)
	defer unix.Close(l)
	check(unix.Bind(l, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}))
	check(unix.Listen(l, 1))
	a = must(unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0))(t)
	check(unix.Connect(a, must(unix.Getsockname(l))(t)))
	b, _, err := unix.Accept4(l, unix.SOCK_CLOEXEC)
	check(err)
	return a, b
}

// dies makes the close of fd a reset.
func dies(t testing.TB, fd int) {
	t.Helper()
	if err := unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1}); err != nil {
		t.Fatal(err)
	}
}

// until waits for something that another goroutine or the kernel is about to do.
func until(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !ok(); time.Sleep(100 * time.Microsecond) {
		if time.Now().After(end) {
			t.Errorf("waited in vain: %s", what)
			return
		}
	}
}

// waitsFor waits until a transfer waits for a side.
func waitsFor(t testing.TB, tr *transfer.Transfer, side transfer.Side) {
	t.Helper()
	until(t, fmt.Sprintf("the transfer to wait for the %s", side), func() bool {
		s, _ := tr.Stats.Waiting()
		return s == side
	})
}

// A drain is the neighbour that reads: what came, and how much of it so far.
type drain struct {
	n    atomic.Int64
	data []byte
	err  error
	done chan struct{}
}

// drainAll reads f to its end, or want bytes where the end cannot be told (a terminal).
func drainAll(f io.Reader, want int, step func(n int64) int) *drain {
	d := &drain{done: make(chan struct{})}
	go d.run(f, want, step)
	return d
}

func (d *drain) run(f io.Reader, want int, step func(int64) int) {
	defer close(d.done)
	buf := make([]byte, 256<<10)
	for want < 0 || len(d.data) < want {
		b := buf
		if step != nil {
			b = buf[:min(len(buf), step(d.n.Load()))]
		}
		n, err := f.Read(b)
		d.data = append(d.data, b[:n]...)
		d.n.Store(int64(len(d.data)))
		if err == io.EOF {
			return
		}
		if err != nil {
			d.err = err
			return
		}
	}
}

func (d *drain) wait() ([]byte, error) {
	<-d.done
	return d.data, d.err
}

// outcome is what a Move returned.
type outcome struct {
	n   int64
	err error
}

// moving starts a Move and returns where its outcome will be.
func moving(ctx context.Context, tr *transfer.Transfer, dst, src *transfer.Endpoint, limit int64) <-chan outcome {
	c := make(chan outcome, 1)
	go func() {
		n, err := tr.Move(ctx, dst, src, limit)
		c <- outcome{n, err}
	}()
	return c
}

// skipLoudly skips a test in a way that is seen without -v.
func skipLoudly(t testing.TB, why string) {
	t.Helper()
	fmt.Fprintf(os.Stderr, "!!! %s does not run here: %s\n", t.Name(), why)
	t.Skip(why)
}
