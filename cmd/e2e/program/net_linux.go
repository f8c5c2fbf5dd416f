package program

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// FreePort returns a port of 127.0.0.1 that is free, 0 where none is found. It lies below
// those that the kernel hands out (32768 and more, ip(7)): one of these can be the near
// end of another connection by the time a peer wants to listen on it.
func FreePort() int {
	strict := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error { // as socat binds: a port in TIME_WAIT is taken
		return c.Control(func(fd uintptr) { _ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEADDR, 0) })
	}}
	for range 100 {
		port := 10_000 + rand.IntN(20_000)
		l, err := strict.Listen(context.Background(), "tcp4", fmt.Sprintf(":%d", port))
		if err == nil {
			l.Close()
			return port
		}
	}
	return 0
}

// FreeRange returns the first of n ports in a row that are free on an address, best one that no other test has.
func FreeRange(t testing.TB, host string, n int) int {
	t.Helper()
next:
	for range 100 {
		first := 5_000 + rand.IntN(10_000) // below those of FreePort, for the most part
		for port := first; port < first+n; port++ {
			ln, err := net.Listen("tcp", net.JoinHostPort(host, strconv.Itoa(port)))
			if err != nil {
				continue next
			}
			ln.Close()
		}
		return first
	}
	t.Fatal("no range of ports is free")
	return 0
}

// Target is a server behind a relay: it hands every connection to f, one after the other.
func Target(t testing.TB, network string, f func(net.Conn)) (addr string) {
	t.Helper()
	where := "127.0.0.1:0"
	if network == "unix" {
		where = filepath.Join(t.TempDir(), "target")
	}
	ln, err := net.Listen(network, where)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			_ = c.SetDeadline(time.Now().Add(GuardTime)) // a connection that is gone already says so itself
			go f(c)
		}
	}()
	if network == "unix" {
		return "unix:" + where
	}
	return ln.Addr().String()
}

// Dial connects to a zcp that listens. The connection ends with the test, at the latest
// after [GuardTime].
func Dial(t testing.TB, p *Process) *net.TCPConn {
	t.Helper()
	c, err := net.Dial("tcp", "127.0.0.1:"+p.Port())
	return kept(t, c, err)
}

// kept is what a call has returned: a connection that ends with the test.
func kept(t testing.TB, c net.Conn, err error) *net.TCPConn {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(GuardTime)); err != nil {
		t.Fatal(err)
	}
	return c.(*net.TCPConn)
}

// Reset closes a connection so that its peer gets a reset.
func Reset(t testing.TB, c *net.TCPConn) {
	t.Helper()
	if err := c.SetLinger(0); err != nil {
		t.Error(err)
	}
	c.Close()
}

// Listening listens, and returns its socket also as a file that can be passed on.
func Listening(t testing.TB) (net.Listener, *os.File) {
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

// WantReset reads a connection to its end, which has to be a reset.
func WantReset(t testing.TB, c net.Conn) {
	t.Helper()
	n, err := io.Copy(io.Discard, c)
	if !errors.Is(err, unix.ECONNRESET) {
		t.Errorf("the peer saw %v after %d bytes, want a reset", err, n)
	}
}

// MeetPeer starts zcp against a listener and hands the test the peer's end.
func MeetPeer(t testing.TB, m Mode, args ...string) (*Process, *net.TCPConn) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	p := m.Zcp(t, append(args, ln.Addr().String())...).Start()
	c, err := ln.Accept()
	return p, kept(t, c, err)
}

// ReadN reads n bytes from a peer that sends at least so many.
func ReadN(t testing.TB, r io.Reader, n int) []byte {
	t.Helper()
	b := make([]byte, n)
	if m, err := io.ReadFull(r, b); err != nil {
		t.Errorf("after %d of %d bytes: %v", m, n, err)
	}
	return b
}
