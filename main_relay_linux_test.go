package main

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// target is a server behind a relay: it hands every connection to f, one after the other.
func target(t testing.TB, network string, f func(net.Conn)) (addr string) {
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
			_ = c.SetDeadline(time.Now().Add(guardTime)) // a connection that is gone already says so itself
			go f(c)
		}
	}()
	if network == "unix" {
		return "unix:" + where
	}
	return ln.Addr().String()
}

// late answers only when the client has ended: with what it got, turned to upper case.
func late(c net.Conn) {
	b, _ := io.ReadAll(c) // what came until the end
	_, _ = c.Write(bytes.ToUpper(b))
	c.Close()
}

// The late answer after a half-close, over TCP and Unix sockets in all four combinations.
func TestRelayHalfClose(t *testing.T) {
	for _, from := range []string{"tcp", "unix"} {
		for _, to := range []string{"tcp", "unix"} {
			t.Run(from+" to "+to, func(t *testing.T) {
				listen, network := ":0", "tcp"
				if from == "unix" {
					network, listen = "unix", "unix:"+filepath.Join(t.TempDir(), "s")
				}
				p := zcp(t, "relay", "-v", listen, target(t, to, late)).start()
				addr := strings.TrimPrefix(listen, "unix:")
				if from == "tcp" {
					addr = "127.0.0.1:" + p.port()
				} else {
					p.says("listening")
				}
				c, err := net.Dial(network, addr)
				if err != nil {
					t.Fatal(err)
				}
				write(t, c, []byte("hello"))
				if err := c.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
					t.Fatal(err)
				}
				if b, err := io.ReadAll(c); string(b) != "HELLO" || err != nil {
					t.Errorf("got %q, %v", b, err)
				}
				p.says(`up 5B, down 5B in .*: ended`)
				p.signal(unix.SIGTERM)
				p.ends(0)
				if from == "unix" {
					absent(t, addr)
				}
			})
		}
	}
}

// SIGTERM closes the listener at once and lets connections end; --drain bounds that; SIGINT
// does not wait, and neither does a second SIGTERM.
func TestRelayDrain(t *testing.T) {
	for _, test := range []struct {
		name   string
		args   []string
		signal syscall.Signal
		cut    bool
		twice  bool
		status int
	}{
		{"until they end", nil, unix.SIGTERM, false, false, 0},
		{"for a while", []string{"--drain", "100ms"}, unix.SIGTERM, true, false, 1},
		{"at once", nil, unix.SIGINT, true, false, 130},
		{"a second signal", nil, unix.SIGTERM, true, true, 143},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := zcp(t, append([]string{"relay", "-v", ":0", target(t, "tcp", late)}, test.args...)...).start()
			c := dial(t, p)
			p.says("#1 .* to ")
			write(t, c, []byte("hello"))
			p.signal(test.signal)
			if test.twice {
				p.says("no new connections, 1 are still open")
				p.signal(test.signal)
			}
			if test.cut {
				wantReset(t, c)
				p.ends(test.status)
				return
			}
			p.says("no new connections, 1 are still open")
			waitFor(t, "the listener to be closed", func() bool {
				again, err := net.Dial("tcp", "127.0.0.1:"+p.port())
				if err == nil {
					again.Close()
				}
				return err != nil
			})
			if err := c.CloseWrite(); err != nil {
				t.Fatal(err)
			}
			if b, err := io.ReadAll(c); string(b) != "HELLO" || err != nil {
				t.Errorf("got %q, %v", b, err)
			}
			p.ends(test.status)
		})
	}
}

// wantRefused connects to a relay that resets its clients at once, perhaps before the
// connection is seen to be one.
func wantRefused(t testing.TB, p *program) {
	t.Helper()
	c, err := net.Dial("tcp", "127.0.0.1:"+p.port())
	if errors.Is(err, unix.ECONNRESET) {
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	wantReset(t, c)
}

// A client whose target refuses gets a reset, and the log a line; one that may not connect gets a reset.
func TestRelayRefuses(t *testing.T) {
	p := zcp(t, "relay", ":0", "127.0.0.1:1").start()
	wantRefused(t, p)
	p.says(`127.0.0.1:1: target unreachable: connection refused for 127.0.0.1:\d+`)
	q := zcp(t, "relay", "-v", "--deny", "127.0.0.0/8", ":0", target(t, "tcp", late)).start()
	wantRefused(t, q)
	q.says(`may not connect: reset`)
}

// Who asks for more connections than there are descriptors for is told how many there will be.
func TestMaxConnsOfFewDescriptors(t *testing.T) {
	dir := t.TempDir()
	for _, args := range [][]string{{"relay", ":0", target(t, "tcp", late)}, {"recv", "-k", ":0", dir + "/%d"}} {
		t.Run(args[0], func(t *testing.T) {
			p := command(t, "bash", append([]string{"-c", `ulimit -n 100; exec "$0" "$@"`, zcpPath(t), "-m", "1000"}, args...)...).start()
			p.says(`at most \d\d connections at once, not 1,000: the limit of open files allows no more \(ulimit -n\)\n`)
			p.signal(unix.SIGUSR1)
			p.says(`0 open of at most \d\d,`)
		})
	}
}

// A service: the socket comes from the service manager, which is told when it is served
// and when that ends; it ends by itself when nobody came for a while.
func TestRelayService(t *testing.T) {
	notify := filepath.Join(t.TempDir(), "notify")
	manager, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: notify})
	if err != nil {
		t.Fatal(err)
	}
	defer manager.Close()
	ln, f := listening(t)
	p := zcp(t, "relay", "--exit-idle", "200ms", "sd:", target(t, "tcp", late)).with("LISTEN_FDS=1", "NOTIFY_SOCKET="+notify)
	p.ExtraFiles = []*os.File{f}
	p.start()
	b := make([]byte, 100)
	if n, err := manager.Read(b); string(b[:n]) != "READY=1" || err != nil {
		t.Errorf("told %q, %v", b[:n], err)
	}
	c, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	write(t, c, []byte("hello"))
	if err := c.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(c).ReadString('O'); line != "HELLO" || err != nil {
		t.Errorf("got %q, %v", line, err)
	}
	c.Close()
	if n, err := manager.Read(b); string(b[:n]) != "STOPPING=1" || err != nil {
		t.Errorf("told %q, %v", b[:n], err)
	}
	p.ends(0)

	connected, other := unixPair(t)
	defer connected.Close()
	defer other.Close()
	p = zcp(t, "relay", "sd:", "127.0.0.1:1").with("LISTEN_FDS=1")
	p.ExtraFiles = []*os.File{connected}
	p.run(1).says("sd:: descriptor 3 does not listen")
}
