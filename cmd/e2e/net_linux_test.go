package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/zcp-go/zcp/cmd/e2e/program"
)

// get reads everything from an address.
func get(t testing.TB, network, addr string) string {
	t.Helper()
	c, err := net.Dial(network, addr)
	if err != nil {
		t.Error(err)
		return ""
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(program.GuardTime)) // fails only on a closed connection
	b, err := io.ReadAll(c)
	if err != nil {
		t.Errorf("from %s: %v", addr, err)
	}
	return string(b)
}

func TestFamilies(t *testing.T) {
	f := program.Source(t, "hello")
	for _, tc := range []struct {
		args  []string
		yes   []string
		no    string
		shown string
	}{
		{[]string{":0"}, []string{"127.0.0.1", "::1"}, "", "[::]:"},
		{[]string{"-4", ":0"}, []string{"127.0.0.1"}, "::1", "0.0.0.0:"},
		{[]string{"-6", ":0"}, []string{"::1"}, "127.0.0.1", "[::]:"},
		{[]string{"0.0.0.0:0", "-l"}, []string{"127.0.0.1"}, "::1", "0.0.0.0:"}, // what is written, and nothing else
		{[]string{"[::]:0", "-l"}, []string{"::1"}, "127.0.0.1", "[::]:"},
		{[]string{"-l", "127.0.0.1:0"}, []string{"127.0.0.1"}, "127.0.0.2", "127.0.0.1:"},
		{[]string{"-l", "tcp:[::1]:0"}, []string{"::1"}, "127.0.0.1", "[::1]:"},
	} {
		for _, host := range tc.yes {
			p := program.Zcp(t, append([]string{"send", f}, tc.args...)...).Start()
			port := p.Port()
			if tc.no != "" {
				if c, err := net.Dial("tcp", net.JoinHostPort(tc.no, port)); err == nil {
					t.Errorf("%v: %s may connect", tc.args, tc.no)
					c.Close()
				}
			}
			if got := get(t, "tcp", net.JoinHostPort(host, port)); got != "hello" {
				t.Errorf("%v from %s: %q", tc.args, host, got)
			}
			p.Ends(0)
			if !strings.Contains(p.ErrOut.String(), "zcp: listening on "+tc.shown) {
				t.Errorf("%v: said %q", tc.args, p.ErrOut)
			}
		}
	}
	// -q still tells the port that was picked, and nothing else.
	p := program.Zcp(t, "send", "-q", f, ":0").Start()
	if get(t, "tcp", "127.0.0.1:"+p.Port()); p.End() != 0 || strings.Count(p.ErrOut.String(), "\n") != 1 {
		t.Errorf("-q: said %q", p.ErrOut)
	}
}

// The listener of one connection is gone as soon as that one is there.
func TestListensForOne(t *testing.T) {
	p := program.Zcp(t, "recv", ":0").Start()
	addr := "127.0.0.1:" + p.Port()
	c := program.Dial(t, p)
	program.Write(t, c, []byte("x"))
	p.Out.Await("x")
	if second, err := net.Dial("tcp", addr); err == nil {
		t.Error("a second one may connect")
		second.Close()
	}
	c.CloseWrite()
	p.Ends(0)
}

func TestUnixSockets(t *testing.T) {
	dir := t.TempDir()
	f := program.Source(t, "hello")
	path := filepath.Join(dir, "s")
	for i := range 2 { // the second time over what a killed listener has left
		p := program.Zcp(t, "send", "-l", f, "unix:"+path).Start()
		p.Says("listening on unix:")
		if i == 0 {
			p.Signal(unix.SIGKILL)
			p.Ends(137)
			if _, err := os.Lstat(path); err != nil {
				t.Fatal(err)
			}
			continue
		}
		second := program.Zcp(t, "send", "-l", f, "unix:"+path).Run(1)
		if want := "zcp: unix:" + path + ": address already in use\n"; second.ErrOut.String() != want {
			t.Errorf("a second listener said %q", second.ErrOut)
		}
		if got := get(t, "unix", path); got != "hello" {
			t.Errorf("got %q", got)
		}
		p.Ends(0)
		program.Absent(t, path)
	}
	program.WriteFile(t, path, []byte("a file"), 0o644)
	program.Zcp(t, "send", "-l", f, "unix:"+path).Run(1)
	program.Holds(t, path, []byte("a file"))

	name := fmt.Sprintf("@zcp-test-%d", os.Getpid())
	p := program.Zcp(t, "recv", "-l", "unix:"+name).Start()
	p.Says("listening on unix:@")
	program.Zcp(t, "send", f, "unix:"+name).Run(0)
	if p.Ends(0); p.Out.String() != "hello" {
		t.Errorf("over the abstract name: %q", p.Out)
	}
	long := program.Zcp(t, "recv", "-l", "unix:"+strings.Repeat("n", 200)).Run(2)
	if strings.Count(long.ErrOut.String(), "\n") != 1 {
		t.Errorf("a name too long for a socket: %q", long.ErrOut)
	}
}

func TestAllowDeny(t *testing.T) {
	for _, args := range [][]string{{"--deny", "127.0.0.0/24"}, {"--allow", "127.0.1.0/24,::1"}, {"--allow", "127.0.0.0/8", "--deny", "127.0.0.1"}} {
		p := program.Zcp(t, append([]string{"recv", "-v", ":0"}, args...)...).Start()
		if c, err := net.Dial("tcp", "127.0.0.1:"+p.Port()); err == nil { // the reset may come before Dial is done
			program.WantReset(t, c)
			c.Close()
		}
		p.Says(`denied 127\.0\.0\.1:\d+ \(reset\)`)
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 1, 1)}}
		c, err := d.Dial("tcp", "127.0.0.1:"+p.Port())
		if err != nil {
			t.Fatal(err)
		}
		program.Write(t, c, []byte("hello"))
		c.Close()
		if p.Ends(0); p.Out.String() != "hello" {
			t.Errorf("%v: got %q", args, p.Out)
		}
	}
}

// What cannot be reached, and how long that takes to find out.
func TestCannotMeet(t *testing.T) {
	t.Parallel()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := ln.Addr().(*net.TCPAddr).Port
	ln.Close()
	free := fmt.Sprintf("127.0.0.1:%d", port)
	for _, tc := range []struct {
		status int
		said   string
		args   []string
	}{
		{1, "zcp: " + free + ": connection refused\n", []string{"send", "/dev/null", free}},
		{1, "zcp: " + free + ": connection refused, ", []string{"recv", "--retry-for", "0.2", free}},
		{1, "zcp: unix:nowhere: no such file or directory\n", []string{"recv", "unix:nowhere"}},
		{5, "no connection within 0.10s", []string{"recv", "-w", "0.1", ":0"}},
		{5, "no connection within 0.10s", []string{"send", "-w", "0.1", "/dev/null", ":0"}},
		{2, "zcp: localhost:no-such-service: no such service\n", []string{"recv", "localhost:no-such-service"}},
		{1, "cannot assign requested address", []string{"recv", "--bind", "192.0.2.1", "127.0.0.1:1"}},
		{1, "cannot assign requested address", []string{"recv", "-l", "192.0.2.1:0"}},
		{1, "bad file descriptor", []string{"recv", "fd:99"}},
		{1, "no socket was passed", []string{"recv", "sd:"}},
	} {
		p := program.Zcp(t, tc.args...)
		p.Dir = t.TempDir()
		if p.Run(tc.status); !strings.Contains(p.ErrOut.String(), tc.said) {
			t.Errorf("%v said %q, want %q", tc.args, p.ErrOut, tc.said)
		}
		fitForTerminal(t, p.ErrOut.String())
	}
	// A peer that comes late, but in time, is still met.
	path := filepath.Join(t.TempDir(), "s")
	p := program.Zcp(t, "send", "--retry-for", "1h", program.Source(t, "hello"), "unix:"+path).Start()
	program.Asleep(t, p.Process.Pid)
	r := program.Zcp(t, "recv", "-l", "unix:"+path).Run(0)
	if p.Ends(0); r.Out.String() != "hello" {
		t.Errorf("got %q", r.Out)
	}
}

// Several sources are one stream; --size is for all of them together.
func TestSeveralSources(t *testing.T) {
	a, b := program.Source(t, "first "), program.Source(t, "second ")
	send := func(status int, want string, args ...string) {
		t.Helper()
		p := program.Zcp(t, append([]string{"send", ":0", "--linger", "1m"}, args...)...)
		p.Args = append([]string{p.Args[0], "send"}, append(args, ":0")...)
		p.From(strings.NewReader("third")).Start()
		c := program.Dial(t, p)
		got, err := io.ReadAll(c)
		if c.Close(); string(got) != want || (err == nil) != (status == 0) {
			t.Errorf("%v: got %q, %v", args, got, err)
		}
		p.Ends(status)
	}
	send(0, "first second third", a, b, "-")
	send(0, "first second third", "-s", "18", a, b, "-")
	send(3, "first second third", "-s", "19", a, b, "-")
	send(0, "first sec", "-S", "-s", "9", a, b, "-")
	send(0, "first ", "-S", "-s", "@"+a, a, b, "-")
	send(0, "", "-S", "-s", "0", a, b)
	fifo := filepath.Join(t.TempDir(), "fifo") // which is never opened: what is not wanted is not waited for
	if err := unix.Mkfifo(fifo, 0o644); err != nil {
		t.Fatal(err)
	}
	send(0, "first sec", "-S", "-s", "9", a, b, fifo)
	if p := program.Zcp(t, "cat", "-S", "-s", "9", a, b, fifo, "missing").Run(0); p.Out.String() != "first sec" {
		t.Errorf("cat: got %q", p.Out)
	}
	p := program.Zcp(t, "send", a, "missing", ":0").Run(1)
	if want := "zcp: missing: no such file or directory\n"; p.ErrOut.String() != want {
		t.Errorf("said %q", p.ErrOut)
	}
}

// Every line of --json is an object with an event and a time, and numbers are numbers.
func TestEvents(t *testing.T) {
	p := program.Zcp(t, "recv", "--json", ":0", filepath.Join(t.TempDir(), "out")).Start()
	port := p.Says(`"port":(\d+)`)[1]
	program.Zcp(t, "send", "-q", program.Source(t, "hello"), "127.0.0.1:"+port).Run(0)
	p.Ends(0)
	var names []string
	for line := range strings.Lines(p.ErrOut.String()) {
		var e map[string]any
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatalf("%v in %q", err, line)
		}
		if _, err := time.Parse(time.RFC3339Nano, fmt.Sprint(e["time"])); err != nil {
			t.Error(err)
		}
		name := fmt.Sprint(e["event"])
		if names = append(names, name); name == "end" && (e["bytes"] != 5.0 || e["acked"] != 5.0 || e["status"] != 0.0 || e["error"] != nil) {
			t.Errorf("end is %v", e)
		}
	}
	if got := strings.Join(names, " "); got != "listen start end" && got != "listening start end" {
		t.Errorf("events: %s", got)
	}
}
