package main

import (
	"fmt"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// dial connects to a zcp that listens. The connection ends with the test, at the latest
// after guardTime.
func dial(t testing.TB, p *program) *net.TCPConn {
	t.Helper()
	c, err := net.Dial("tcp", "127.0.0.1:"+p.port())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(guardTime)); err != nil {
		t.Fatal(err)
	}
	return c.(*net.TCPConn)
}

// reset closes a connection so that its peer gets a reset.
func reset(t testing.TB, c *net.TCPConn) {
	t.Helper()
	if err := c.SetLinger(0); err != nil {
		t.Error(err)
	}
	c.Close()
}

func write(t testing.TB, w io.Writer, b []byte) {
	t.Helper()
	if _, err := w.Write(b); err != nil {
		t.Error(err)
	}
}

func writeFile(t testing.TB, name string, b []byte, mode os.FileMode) {
	t.Helper()
	if err := os.WriteFile(name, b, mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(name, mode); err != nil { // whatever the umask is
		t.Fatal(err)
	}
}

// holds wants a file to hold exactly want.
func holds(t testing.TB, name string, want []byte) {
	t.Helper()
	got, err := os.ReadFile(name)
	if err != nil {
		t.Error(err)
	} else if string(got) != string(want) {
		t.Errorf("%s holds %d bytes that are not the %d expected", name, len(got), len(want))
	}
}

func absent(t testing.TB, name string) {
	t.Helper()
	if _, err := os.Lstat(name); !os.IsNotExist(err) {
		t.Errorf("%s is there (%v)", name, err)
	}
}

func needRoot(t testing.TB) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("NOT TESTED: needs root")
	}
}

// awaitSize waits until a file has n bytes.
func awaitSize(t testing.TB, name string, n int64) {
	t.Helper()
	waitFor(t, fmt.Sprintf("%d bytes in %s", n, name), func() bool {
		fi, err := os.Stat(name)
		return err == nil && fi.Size() == n
	})
}

// pipe returns the ends of a pipe; both are closed with the test, at the latest.
func pipe(t testing.TB) (r, w *os.File) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		r.Close()
		w.Close()
	})
	return r, w
}

// listening listens, and returns its socket also as a file that can be passed on.
func listening(t testing.TB) (net.Listener, *os.File) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	f, err := ln.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return ln, f
}

// awaitQueue waits until the bytes that an ioctl(2) counts in a socket, TIOCINQ or
// TIOCOUTQ, are as many as they should be.
func awaitQueue(t testing.TB, c *net.TCPConn, ioctl uint, ok func(n int) bool) {
	t.Helper()
	rc, err := c.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the bytes in a socket", func() (done bool) {
		err := rc.Control(func(fd uintptr) {
			n, err := unix.IoctlGetInt(int(fd), ioctl)
			done = err == nil && ok(n)
		})
		if err != nil {
			t.Fatal(err)
		}
		return done
	})
}
