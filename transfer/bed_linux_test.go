package transfer_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/zcp-go/zcp/transfer"
	"github.com/zcp-go/zcp/transfer/internal/bed"
)

// bedContext ends after bed.Patience and with the test.
func bedContext(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), bed.Patience)
	t.Cleanup(cancel)
	return ctx
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
	if err := f.SetDeadline(time.Now().Add(bed.Patience)); err != nil {
		t.Fatal(err)
	}
	return f
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
	both := bed.Must(unix.Open(path, unix.O_RDWR|unix.O_CLOEXEC, 0))(t)
	defer unix.Close(both)
	r = bed.Must(unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0))(t)
	w = bed.Must(unix.Open(path, unix.O_WRONLY|unix.O_CLOEXEC, 0))(t)
	return r, w
}

func newUnix(t testing.TB) (a, b int) {
	t.Helper()
	p := bed.Must(unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0))(t)
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
	l := bed.Must(unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0))(t)
	defer unix.Close(l)
	check(unix.Bind(l, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}))
	check(unix.Listen(l, 1))
	a = bed.Must(unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0))(t)
	check(unix.Connect(a, bed.Must(unix.Getsockname(l))(t)))
	b, _, err := unix.Accept4(l, unix.SOCK_CLOEXEC)
	check(err)
	return a, b
}

// waitsFor waits until a transfer waits for a side.
func waitsFor(t testing.TB, tr *transfer.Transfer, side transfer.Side) {
	t.Helper()
	bed.Until(t, fmt.Sprintf("the transfer to wait for the %s", side), func() bool {
		s, _ := tr.Stats.Waiting()
		return s == side
	})
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
