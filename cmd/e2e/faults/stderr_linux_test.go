package faults

import (
	"bytes"
	"net"
	"os"
	"strings"
	"testing"

	"github.com/creack/pty"
	"golang.org/x/sys/unix"

	"github.com/zcp-go/zcp/cmd/e2e/program"
)

// fullPipe is a pipe without room that is not read.
func fullPipe(t *testing.T) (r, w *os.File) {
	r, w = program.Pipe(t)
	size, err := unix.FcntlInt(w.Fd(), unix.F_GETPIPE_SZ, 0)
	if err != nil {
		t.Fatal(err)
	}
	program.Write(t, w, make([]byte, size))
	return r, w
}

// unread starts zcp with a stderr that is full and is not read, which leaves what is printed unseen.
func unread(t *testing.T, args ...string) *program.Process {
	_, w := fullPipe(t)
	p := program.Zcp(t, args...)
	p.Stderr = w
	return p.Start()
}

// A stderr that is not read holds up neither the bytes nor the end, and the status is what it was.
func TestUnreadStderr(t *testing.T) {
	dir := t.TempDir()
	program.WriteFile(t, dir+"/in", make([]byte, 9<<20), 0o600)
	for _, tc := range []struct {
		args   []string
		status int
	}{
		{[]string{"cat", "-f", dir + "/in", "-o", dir + "/out"}, 0},
		{[]string{"cat", "--json", "-L", "90M", dir + "/in", "-o", dir + "/out2"}, 0},
		{[]string{"cat", dir + "/none"}, 1},
		{[]string{"cat", "--none"}, 2},
	} {
		t.Run(strings.Join(tc.args[:2], " "), func(t *testing.T) {
			t.Parallel()
			unread(t, tc.args...).Ends(tc.status)
		})
	}
	for _, option := range []string{"-v", "--json", "-f"} {
		t.Run("send "+option, func(t *testing.T) {
			t.Parallel()
			r := program.Zcp(t, "recv", ":0", t.TempDir()+"/out").Start()
			unread(t, "send", option, dir+"/in", "127.0.0.1:"+r.Port()).Ends(0)
			r.Ends(0)
		})
	}
}

// A server whose stderr is not read any more serves on, whatever its clients have it say, and the
// first TERM ends it.
func TestUnreadStderrOfServer(t *testing.T) {
	in := program.Source(t, "hello")
	for _, args := range [][]string{
		{"send", "-k", "-l", in, "127.0.0.1:0"},
		{"recv", "-k", "-l", "127.0.0.1:0", t.TempDir() + "/%d"},
		{"relay", "--json", "127.0.0.1:0", program.Target(t, "tcp", answerX)},
	} {
		t.Run(args[0], func(t *testing.T) {
			t.Parallel() // each waits for a full pipe
			r, w := program.Pipe(t)
			if _, err := unix.FcntlInt(w.Fd(), unix.F_SETPIPE_SZ, 4096); err != nil {
				t.Fatal(err)
			}
			p := program.Zcp(t, args...)
			p.Stderr = w
			p.Start()
			addr := listeningAddress(t, r)
			for range 200 { // each has a line said
				program.Reset(t, dial(t, addr))
			}
			c := dial(t, addr)
			if args[0] == "recv" {
				program.Write(t, c, []byte("x"))
				if err := c.CloseWrite(); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := c.Read(make([]byte, 1)); err != nil && args[0] != "recv" {
				t.Errorf("the client after them was not served: %v", err)
			}
			c.Close() // or relay would drain it
			p.Signal(unix.SIGTERM)
			if status := p.End(); status != 143 && (status != 0 || args[0] != "relay") {
				t.Errorf("ended with %d", status)
			}
		})
	}
}

// answerX answers each connection with a byte, whether it is still there or not.
func answerX(c net.Conn) {
	_, _ = c.Write([]byte("x"))
	c.Close()
}

func dial(t *testing.T, addr string) *net.TCPConn {
	c, err := net.DialTimeout("tcp", addr, program.GuardTime)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c.(*net.TCPConn)
}

// listeningAddress reads the first line of a server, and nothing after it.
func listeningAddress(t *testing.T, r *os.File) string {
	var line []byte
	for !bytes.HasSuffix(line, []byte("\n")) {
		line = append(line, program.ReadN(t, r, 1)...)
	}
	_, addr, ok := strings.Cut(string(line), "listening on ")
	if !ok {
		_, addr, _ = strings.Cut(string(line), `"addr":"`)
		addr, _, _ = strings.Cut(addr, `"`)
	}
	return strings.TrimSpace(addr)
}

// A terminal that ^S has stopped holds up neither the end nor a signal.
func TestStoppedTerminal(t *testing.T) {
	dir := t.TempDir()
	program.WriteFile(t, dir+"/in", make([]byte, 9<<20), 0o600)
	r, _ := program.Pipe(t)
	for _, tc := range []struct {
		args   []string
		signal unix.Signal // 0: it ends by itself
		status int
	}{
		{[]string{"cat", dir + "/in"}, unix.SIGTERM, 143},
		{[]string{"cat", "-f", "-"}, unix.SIGHUP, 129},
		{[]string{"recv", ":0", dir + "/got"}, unix.SIGINT, 130},
		{[]string{"relay", ":0", "127.0.0.1:9"}, unix.SIGTERM, 0},
		{[]string{"cat", "-f", dir + "/in", "-o", dir + "/out"}, 0, 0},
	} {
		t.Run(strings.Join(tc.args[:2], " "), func(t *testing.T) {
			_, tty, err := pty.Open()
			if err != nil {
				t.Fatal(err)
			}
			if err := unix.IoctlSetInt(int(tty.Fd()), unix.TCXONC, unix.TCOOFF); err != nil {
				t.Fatal(err)
			}
			p := program.Zcp(t, tc.args...).From(r)
			p.Stderr, p.Stdout = tty, tty
			p.Start()
			if tc.signal != 0 {
				program.Asleep(t, p.Process.Pid)
				p.Signal(tc.signal)
			}
			p.Ends(tc.status)
		})
	}
}
