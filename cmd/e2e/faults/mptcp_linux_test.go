package faults

import (
	"bytes"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/zcp-go/zcp/cmd/e2e/program"
)

// mptcp returns both ends of a connection that speaks Multipath TCP, and a listener that does; the test ends
// loudly where the kernel has none (sysctl net.mptcp.enabled).
func mptcp(t *testing.T) (ln *net.TCPListener, dial func() *net.TCPConn) {
	var lc net.ListenConfig
	lc.SetMultipathTCP(true)
	l, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l.(*net.TCPListener), func() *net.TCPConn {
		d := net.Dialer{Timeout: program.GuardTime}
		d.SetMultipathTCP(true)
		c, err := d.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		if err := c.SetDeadline(time.Now().Add(program.GuardTime)); err != nil {
			t.Fatal(err)
		}
		if is, err := c.(*net.TCPConn).MultipathTCP(); err != nil || !is {
			t.Fatalf("the connection does not speak Multipath TCP: %v, %v", is, err)
		}
		return c.(*net.TCPConn)
	}
}

// inheriting starts zcp with a socket as descriptor 3.
func inheriting(t *testing.T, socket interface{ File() (*os.File, error) }, args ...string) *program.Process {
	f, err := socket.File()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	p := program.Zcp(t, args...)
	p.ExtraFiles = []*os.File{f}
	return p.Start()
}

// A socket of Multipath TCP that is passed in lacks options and counters that TCP has: everything arrives, and
// nothing waits for a counter without end.
func TestMultipathTCP(t *testing.T) {
	content := program.Noise(3_000_000, 42)
	dir := newWork(t, content)
	ln, dialMPTCP := mptcp(t)

	r := inheriting(t, ln, "recv", "--idle", "30", "fd:3", dir+"/out")
	c := dialMPTCP()
	program.Write(t, c, content)
	if err := c.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	r.Ends(0)
	program.Holds(t, dir+"/out", content)

	got := make(chan []byte, 1)
	go func() {
		peer, err := ln.Accept()
		if err != nil {
			got <- nil
			return
		}
		b, _ := io.ReadAll(peer) // what is missing says enough
		peer.Close()
		got <- b
	}()
	inheriting(t, dialMPTCP(), "send", "--idle", "30", dir+"/in", "fd:3").Ends(0)
	if !bytes.Equal(<-got, content) {
		t.Error("other bytes arrived")
	}

	y := inheriting(t, ln, "relay", "--idle", "30", "fd:3", program.Target(t, "tcp", answerX))
	client := dialMPTCP()
	if b := program.ReadN(t, client, 1); string(b) != "x" {
		t.Errorf("the relay passed on %q", b)
	}
	client.Close() // or it would be drained
	y.Signal(unix.SIGTERM)
	y.Ends(0)
}
