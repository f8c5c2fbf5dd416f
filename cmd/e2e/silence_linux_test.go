package e2e

import (
	"fmt"
	"io"
	"net"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/zcp-go/zcp/cmd/e2e/program"
)

// A relay that was stopped for longer than --idle or --half-close looks at what has come meanwhile
// before it calls a client silent that sends all the time.
func TestRelayStopIsNoSilence(t *testing.T) {
	t.Parallel()
	const limit, clients = 500 * time.Millisecond, 8
	for _, flag := range []string{"idle", "half-close"} {
		t.Run(flag, func(t *testing.T) {
			target := program.Target(t, "tcp", func(c net.Conn) {
				if flag == "half-close" {
					_ = c.(*net.TCPConn).CloseWrite() // the test sees what comes of it
				}
				_, _ = io.Copy(io.Discard, c) // it ends with the connection
			})
			p := program.Zcp(t, "relay", "-v", fmt.Sprintf("--%s=%s", flag, limit), ":0", target).Start()
			var all []*net.TCPConn
			send := func() {
				for _, c := range all {
					program.Write(t, c, []byte("x"))
				}
			}
			for range clients {
				all = append(all, program.Dial(t, p))
				send()
			}
			if flag == "half-close" {
				for _, c := range all {
					if n, err := c.Read(make([]byte, 1)); n != 0 || err != io.EOF {
						t.Fatalf("read %d bytes, %v, not the end", n, err)
					}
				}
			}
			send()
			p.Signal(unix.SIGSTOP)
			for began := time.Now(); time.Since(began) < 2*limit; time.Sleep(limit / 10) {
				send()
			}
			p.Signal(unix.SIGCONT)
			for began := time.Now(); time.Since(began) < limit; time.Sleep(limit / 10) {
				send() // a reset fails it
			}
		})
	}
}

// A client that has connected while a relay with --exit-idle did not run is served, and so is the next one.
func TestRelayExitIdleServesTheBacklog(t *testing.T) {
	t.Parallel()
	const limit = 300 * time.Millisecond
	echo := program.Target(t, "tcp", func(c net.Conn) {
		_, _ = io.Copy(c, c) // the test reads what comes back
		c.Close()
	})
	p := program.Zcp(t, "relay", "--exit-idle="+limit.String(), ":0", echo).Start()
	talk := func(c *net.TCPConn) {
		program.Write(t, c, []byte("hello"))
		if b := program.ReadN(t, c, 5); string(b) != "hello" {
			t.Errorf("got %q", b)
		}
	}
	port := p.Port()
	p.Signal(unix.SIGSTOP)
	first, err := net.Dial("tcp", "127.0.0.1:"+port)
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(2 * limit) // the time is over while the process stands
	p.Signal(unix.SIGCONT)
	talk(first.(*net.TCPConn))
	second, err := net.Dial("tcp", "127.0.0.1:"+port)
	if err != nil {
		t.Fatal("the door was shut behind the first client:", err)
	}
	talk(second.(*net.TCPConn))
	first.Close()
	second.Close()
	p.Ends(0)
}

// A receiver that reads slowly and without a pause acknowledges all the time, so send --idle does not give up on it,
// although its socket takes nothing for longer than that.
func TestSendIdleSlowReader(t *testing.T) {
	t.Parallel()
	const limit, piece = 400 * time.Millisecond, 8 << 10
	small := net.ListenConfig{Control: func(_, _ string, rc syscall.RawConn) error {
		return rc.Control(func(fd uintptr) { _ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, 20000) })
	}}
	ln, err := small.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	content := string(program.Noise(8<<20, 1))
	p := program.Zcp(t, "send", "-q", "--idle="+limit.String(), program.Source(t, content), ln.Addr().String()).Start()
	c, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	got := 0
	for began := time.Now(); time.Since(began) < 6*limit; time.Sleep(limit / 8) { // the reader's pace
		n, err := c.Read(make([]byte, piece))
		got += n
		if err != nil {
			t.Fatalf("%v after %d bytes and %v", err, got, time.Since(began))
		}
	}
	if n, err := io.Copy(io.Discard, c); err != nil || got+int(n) != len(content) {
		t.Errorf("%d of %d bytes, %v", got+int(n), len(content), err)
	}
	c.Close()
	p.Ends(0)
}
