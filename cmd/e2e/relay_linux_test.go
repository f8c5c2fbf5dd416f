package e2e

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/zcp-go/zcp/cmd/e2e/program"
)

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
				p := program.Zcp(t, "relay", "-v", listen, program.Target(t, to, late)).Start()
				addr := strings.TrimPrefix(listen, "unix:")
				if from == "tcp" {
					addr = "127.0.0.1:" + p.Port()
				} else {
					p.Says("listening")
				}
				c, err := net.Dial(network, addr)
				if err != nil {
					t.Fatal(err)
				}
				program.Write(t, c, []byte("hello"))
				if err := c.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
					t.Fatal(err)
				}
				if b, err := io.ReadAll(c); string(b) != "HELLO" || err != nil {
					t.Errorf("got %q, %v", b, err)
				}
				p.Says(`up 5B, down 5B in .*: ended`)
				p.Signal(unix.SIGTERM)
				p.Ends(0)
				if from == "unix" {
					program.Absent(t, addr)
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
		{"for a while", []string{"--drain", "100ms"}, unix.SIGTERM, true, false, 143},
		{"at once", nil, unix.SIGINT, true, false, 130},
		{"a second signal", nil, unix.SIGTERM, true, true, 143},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := program.Zcp(t, append([]string{"relay", "-v", ":0", program.Target(t, "tcp", late)}, test.args...)...).Start()
			c := program.Dial(t, p)
			p.Says("#1 .* to ")
			program.Write(t, c, []byte("hello"))
			p.Signal(test.signal)
			if test.twice {
				p.Says("no longer accepting; 1 connection still open")
				p.Signal(test.signal)
			}
			if test.cut {
				program.WantReset(t, c)
				p.Ends(test.status)
				return
			}
			p.Says("no longer accepting; 1 connection still open")
			program.WaitFor(t, "the listener to be closed", func() bool {
				again, err := net.Dial("tcp", "127.0.0.1:"+p.Port())
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
			p.Ends(test.status)
		})
	}
}

// wantRefused connects to a relay that resets its clients at once, perhaps before the
// connection is seen to be one.
func wantRefused(t testing.TB, p *program.Process) {
	t.Helper()
	c, err := net.Dial("tcp", "127.0.0.1:"+p.Port())
	if errors.Is(err, unix.ECONNRESET) {
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	program.WantReset(t, c)
}

// A client whose target refuses gets a reset, and the log a line; one that may not connect gets a reset.
func TestRelayRefuses(t *testing.T) {
	p := program.Zcp(t, "relay", ":0", "127.0.0.1:1").Start()
	wantRefused(t, p)
	p.Says(`127.0.0.1:\d+: cannot reach 127.0.0.1:1: connection refused`)
	q := program.Zcp(t, "relay", "-v", "--deny", "127.0.0.0/8", ":0", program.Target(t, "tcp", late)).Start()
	wantRefused(t, q)
	q.Says(`denied \S+ \(reset\)`)
}

// Who asks for more connections than there are descriptors for is told how many there will be.
func TestMaxConnsOfFewDescriptors(t *testing.T) {
	dir := t.TempDir()
	for _, args := range [][]string{{"relay", ":0", program.Target(t, "tcp", late)}, {"recv", "-k", ":0", dir + "/%d"}} {
		t.Run(args[0], func(t *testing.T) {
			p := program.Command(t, "bash", append([]string{"-c", `ulimit -n 100; exec "$0" "$@"`, program.Path(t), "-m", "1000"}, args...)...).Start()
			p.Says(`at most \d\d connections at once, not 1,000: the limit of open files allows no more \(ulimit -n\)\n`)
			p.Signal(unix.SIGUSR1)
			p.Says(`0 open \(limit \d\d\),`)
		})
	}
}

// A service: the socket comes from the service manager, which is told when it is served
// and when that ends; it ends by itself when no client came for a while.
func TestRelayService(t *testing.T) {
	notify := filepath.Join(t.TempDir(), "notify")
	manager, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: notify})
	if err != nil {
		t.Fatal(err)
	}
	defer manager.Close()
	ln, f := program.Listening(t)
	p := program.Zcp(t, "relay", "--exit-idle", "200ms", "sd:", program.Target(t, "tcp", late)).With("LISTEN_FDS=1", "NOTIFY_SOCKET="+notify)
	p.ExtraFiles = []*os.File{f}
	p.Start()
	b := make([]byte, 100)
	if n, err := manager.Read(b); string(b[:n]) != "READY=1" || err != nil {
		t.Errorf("told %q, %v", b[:n], err)
	}
	c, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	program.Write(t, c, []byte("hello"))
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
	p.Ends(0)

	p = program.Zcp(t, "relay", "-v", "sd:", program.Target(t, "tcp", late)).With("LISTEN_FDS=1", "NOTIFY_SOCKET="+notify)
	p.ExtraFiles = []*os.File{f}
	p.Start()
	client := program.Dial(t, p)
	p.Says("#1 .* to ")
	p.Signal(unix.SIGTERM)
	p.Says(regexp.QuoteMeta(ln.Addr().String()) + ": no longer accepting; 1 connection still open")
	for _, want := range []string{"READY=1", "STOPPING=1", "STATUS=1 open, 1 served, 0B up, 0B down"} {
		if n, err := manager.Read(b); string(b[:n]) != want || err != nil {
			t.Errorf("told %q, %v, want %q", b[:n], err, want)
		}
	}
	client.Close()
	p.Ends(0)

	connected, other := unixPair(t)
	defer connected.Close()
	defer other.Close()
	p = program.Zcp(t, "relay", "sd:", "127.0.0.1:1").With("LISTEN_FDS=1")
	p.ExtraFiles = []*os.File{connected}
	p.Run(1).Says(`"sd:": descriptor 3 does not listen`)
}
