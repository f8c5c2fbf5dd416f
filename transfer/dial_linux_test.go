package transfer_test

import (
	"context"
	"errors"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/zcp-go/zcp/transfer"
	"github.com/zcp-go/zcp/transfer/internal/bed"
)

// TestDialBind dials from an address, alone and with a port.
func TestDialBind(t *testing.T) {
	ln := closed(t, bed.Must(net.Listen("tcp", "127.0.0.1:0"))(t))
	free := closed(t, bed.Must(net.Listen("tcp", "127.0.0.3:0"))(t))
	port := free.Addr().(*net.TCPAddr).String()
	free.Close()
	for bind, want := range map[string]string{"127.0.0.2": "127.0.0.2:", port: port} {
		d := transfer.Dialer{Bind: bind}
		c := bed.Must(d.Dial(bedContext(t), "tcp", ln.Addr().String()))(t)
		peer := closed(t, bed.Must(ln.Accept())(t))
		if got := peer.RemoteAddr().String(); !strings.HasPrefix(got, want) || c.Local != got || c.Remote != ln.Addr().String() {
			t.Errorf("bound to %s, dialled from %s; local %s, remote %s", bind, got, c.Local, c.Remote)
		}
		c.Close()
	}
	d := transfer.Dialer{Bind: "192.0.2.1"} // not in use (RFC 5737)
	if _, err := d.Dial(bedContext(t), "tcp", ln.Addr().String()); !errors.Is(err, unix.EADDRNOTAVAIL) {
		t.Error("bound to a foreign address:", err)
	}
}

// reserved returns an address without a listener, and what opens one there.
func reserved(t testing.TB) (address string, listen func() error) {
	t.Helper()
	fd := bed.Must(unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0))(t)
	t.Cleanup(func() { unix.Close(fd) })
	bed.MustDo(t, unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}))
	sa := bed.Must(unix.Getsockname(fd))(t).(*unix.SockaddrInet4)
	return (&net.TCPAddr{IP: sa.Addr[:], Port: sa.Port}).String(), func() error { return unix.Listen(fd, 5) }
}

// TestDialRetries keeps trying where a listener may come yet, and only there.
func TestDialRetries(t *testing.T) {
	var once transfer.Dialer
	address, listen := reserved(t)
	if _, err := once.Dial(bedContext(t), "tcp", address); !errors.Is(err, unix.ECONNREFUSED) {
		t.Error("without a listener:", err)
	}
	short := transfer.Dialer{RetryFor: 80 * time.Millisecond}
	began := time.Now()
	if _, err := short.Dial(bedContext(t), "tcp", address); !errors.Is(err, unix.ECONNREFUSED) || time.Since(began) < short.RetryFor {
		t.Error("the last error after the whole time is wanted:", err)
	}
	long := transfer.Dialer{RetryFor: bed.Patience}
	time.AfterFunc(80*time.Millisecond, func() { bed.MustDo(t, listen()) })
	c, err := long.Dial(bedContext(t), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
	path := filepath.Join(t.TempDir(), "late")
	time.AfterFunc(80*time.Millisecond, func() { closed(t, bed.Must(net.Listen("unix", path))(t)) })
	if c, err = long.Dial(bedContext(t), "unix", path); err != nil {
		t.Fatal(err)
	}
	c.Close()
	began = time.Now()
	if _, err := long.Dial(bedContext(t), "tcp", "127.0.0.1"); err == nil || time.Since(began) > bed.Patience/2 {
		t.Error("an address without a port is tried again and again:", err)
	}
}

// deaf returns the address of a listener whose backlog is full, so that connecting hangs.
func deaf(t testing.TB) string {
	t.Helper()
	fd := bed.Must(unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0))(t)
	t.Cleanup(func() { unix.Close(fd) })
	bed.MustDo(t, unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}))
	bed.MustDo(t, unix.Listen(fd, 0))
	sa := bed.Must(unix.Getsockname(fd))(t).(*unix.SockaddrInet4)
	address := (&net.TCPAddr{IP: sa.Addr[:], Port: sa.Port}).String()
	for range 10 { // listen(2): one more than the backlog
		c, err := net.DialTimeout("tcp", address, 50*time.Millisecond)
		if err != nil {
			return address
		}
		closed(t, c)
	}
	t.Fatal("the backlog never fills")
	return ""
}

// TestDialEnds gives up on an address that does not answer: after Wait, and with the context,
// in the attempt itself and between two attempts.
func TestDialEnds(t *testing.T) {
	silent := deaf(t)
	d := transfer.Dialer{Wait: 50 * time.Millisecond}
	var ne net.Error // which of two errors it is, is up to a race in package net
	if _, err := d.Dial(bedContext(t), "tcp", silent); !errors.As(err, &ne) || !ne.Timeout() {
		t.Error("after the time to wait:", err)
	}
	refusing, _ := reserved(t)
	why := errors.New("because")
	for name, address := range map[string]string{"in the attempt": silent, "between attempts": refusing} {
		ctx, cancel := context.WithCancelCause(bedContext(t))
		time.AfterFunc(30*time.Millisecond, func() { cancel(why) })
		d := transfer.Dialer{RetryFor: bed.Patience}
		if _, err := d.Dial(ctx, "tcp", address); err != why {
			t.Errorf("cancelled %s: %v", name, err)
		}
	}
}

// TestPlainTCP sees that neither side speaks MPTCP, and that what was opened here is
// armed until its orderly end.
func TestPlainTCP(t *testing.T) {
	l := bed.Must(transfer.Listen(bedContext(t), "tcp", "127.0.0.1:0"))(t)
	defer l.Close()
	for _, orderly := range []bool{true, false} {
		a := dial(t, "tcp", l.Addr().String())
		b := bed.Must(l.Accept(bedContext(t)))(t)
		for _, c := range []*transfer.Conn{a, b} {
			if p := bed.Must(unix.GetsockoptInt(c.FD(), unix.SOL_SOCKET, unix.SO_PROTOCOL))(t); p != unix.IPPROTO_TCP {
				t.Errorf("protocol %d", p)
			}
			if g := bed.Must(transfer.Linger(c.FD()))(t); g.Onoff != 1 || g.Linger != 0 {
				t.Errorf("SO_LINGER %v", g)
			}
		}
		if orderly {
			bed.MustDo(t, a.CloseGracefully())
		} else {
			bed.MustDo(t, a.Close())
		}
		_, err := far(t, bed.Must(unix.FcntlInt(uintptr(b.FD()), unix.F_DUPFD_CLOEXEC, 0))(t)).Read(make([]byte, 1))
		if got := !errors.Is(err, unix.ECONNRESET); got != orderly || err == nil {
			t.Errorf("orderly %v: the peer reads %v", orderly, err)
		}
		b.Close()
	}
}
