package e2e

import (
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/zcp-go/zcp/cmd/e2e/program"
)

// tcpPair returns the two ends of a TCP connection, the first as a blocking file that a
// process can be born with.
func tcpPair(t testing.TB) (*os.File, *net.TCPConn) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	a, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	b, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	f, err := a.(*net.TCPConn).File()
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.SetNonblock(int(f.Fd()), false); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close(); b.Close() })
	return f, b.(*net.TCPConn)
}

// unixPair returns the two ends of a Unix stream connection as files.
func unixPair(t testing.TB) (a, b *os.File) {
	t.Helper()
	p, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	a, b = os.NewFile(uintptr(p[0]), "a"), os.NewFile(uintptr(p[1]), "b")
	t.Cleanup(func() { a.Close(); b.Close() })
	return a, b
}

// flags returns what all processes share that have a descriptor open.
func flags(t testing.TB, f *os.File) int {
	t.Helper()
	fl, err := unix.FcntlInt(f.Fd(), unix.F_GETFL, 0)
	if err != nil {
		t.Fatal(err)
	}
	return fl
}

// A socket that the command was born with: it is moved over like any other, shut down at
// the end, and has its flags and options afterwards.
func TestInheritedConnection(t *testing.T) {
	for _, args := range [][]string{nil, {"-C"}} {
		own, peer := tcpPair(t)
		before := flags(t, own)
		p := program.Zcp(t, append([]string{"send", program.Source(t, "hello"), "fd:3"}, args...)...)
		p.ExtraFiles = []*os.File{own}
		p.Start()
		if b, err := io.ReadAll(peer); string(b) != "hello" || err != nil {
			t.Errorf("got %q, %v", b, err)
		}
		peer.CloseWrite()
		p.Ends(0)
		if after := flags(t, own); after != before {
			t.Errorf("flags %o became %o", before, after)
		}

		own, peer = tcpPair(t)
		p = program.Zcp(t, append([]string{"recv", "fd:3"}, args...)...)
		p.ExtraFiles = []*os.File{own}
		p.Start()
		program.Write(t, peer, []byte("hello"))
		peer.CloseWrite()
		if p.Ends(0); p.Out.String() != "hello" {
			t.Errorf("got %q", p.Out)
		}
	}
	a, b := unixPair(t)
	p := program.Zcp(t, "recv", "fd:3")
	p.ExtraFiles = []*os.File{a}
	p.Start()
	zs := program.Zcp(t, "send", "-", "fd:3").From(strings.NewReader("over a Unix socket"))
	zs.ExtraFiles = []*os.File{b}
	zs.Start()
	a.Close()
	b.Close()
	zs.Ends(0)
	if p.Ends(0); p.Out.String() != "over a Unix socket" {
		t.Errorf("got %q", p.Out)
	}
}

// A socket that is standard input and output at once, as inetd gives it: other processes
// may go on with it, so it is not armed.
func TestSocketAsStdio(t *testing.T) {
	own, peer := tcpPair(t)
	p := program.Zcp(t, "cat", "-q", "-o", "-", program.Source(t, "hello"))
	p.Stdin, p.Stdout = own, own
	p.Start()
	own.Close()
	p.Ends(0)
	peer.CloseWrite()
	if b, err := io.ReadAll(peer); string(b) != "hello" || err != nil {
		t.Errorf("got %q, %v", b, err)
	}
}

// A listening socket that the command was born with, by number and as systemd passes it.
func TestInheritedListener(t *testing.T) {
	for name, how := range map[string]func(*program.Process) []string{
		"fd:3": func(p *program.Process) []string { return []string{"fd:3"} },
		"sd:":  func(p *program.Process) []string { p.With("LISTEN_FDS=1"); return []string{"sd:"} },
		"sd: named": func(p *program.Process) []string {
			p.With("LISTEN_FDS=2", "LISTEN_FDNAMES=web:other")
			return []string{"sd:web"}
		},
		"sd: one of many": func(p *program.Process) []string {
			p.With("LISTEN_FDS=2", "LISTEN_FDNAMES=other:web")
			p.ExtraFiles = append([]*os.File{os.Stderr}, p.ExtraFiles...)
			return []string{"sd:web"}
		},
	} {
		t.Run(name, func(t *testing.T) {
			ln, f := program.Listening(t)
			p := program.Zcp(t, "send", program.Source(t, "hello"))
			p.ExtraFiles = []*os.File{f}
			p.Args = append(p.Args, how(p)...)
			p.Start()
			if got := get(t, "tcp", ln.Addr().String()); got != "hello" {
				t.Errorf("got %q", got)
			}
			p.Ends(0)
			if !strings.Contains(p.ErrOut.String(), "listening on "+ln.Addr().String()) {
				t.Errorf("said %q", p.ErrOut)
			}
		})
	}
	p := program.Zcp(t, "recv", "sd:none").With("LISTEN_FDS=2", "LISTEN_FDNAMES=a:b").Run(1)
	if want := "zcp: sd:none: no socket called none was passed (there are: a:b)\n"; p.ErrOut.String() != want {
		t.Errorf("said %q", p.ErrOut)
	}
	program.Zcp(t, "recv", "sd:").With("LISTEN_FDS=1", "LISTEN_PID=1").Run(1)
}

// Another process that has the listener open goes on with it as it was: blocking, and alive.
func TestInheritedListenerStays(t *testing.T) {
	ln, f := program.Listening(t)
	if err := unix.SetNonblock(int(f.Fd()), false); err != nil {
		t.Fatal(err)
	}
	before := flags(t, f)
	for range 2 { // the second after the first has closed it
		p := program.Zcp(t, "send", program.Source(t, "hello"), "fd:3")
		p.ExtraFiles = []*os.File{f}
		p.Start()
		if got := get(t, "tcp", ln.Addr().String()); got != "hello" {
			t.Errorf("got %q", got)
		}
		p.Ends(0)
	}
	if after := flags(t, f); after != before {
		t.Errorf("flags %o became %o", before, after)
	}
}

// -k serves one after the other and many at once; one that fails harms no other.
func TestKeepOpen(t *testing.T) {
	p := program.Zcp(t, "send", "-vk", program.Source(t, "hello"), ":0").Start()
	addr := "127.0.0.1:" + p.Port()
	first := program.Dial(t, p) // sits there while others are served
	for range 3 {
		if got := get(t, "tcp", addr); got != "hello" {
			t.Errorf("got %q", got)
		}
	}
	program.Reset(t, program.Dial(t, p))
	p.Says("connection reset by peer")
	p.Signal(unix.SIGUSR1)
	p.Says(`1 open \(limit [\d,]+\), 4 closed, 1 failed, 0B up, \d+B down`)
	p.Says(`#1 .*: .* old, up 0B .*, down 5B .*, waits for: client to close`)
	if b, err := io.ReadAll(first); string(b) != "hello" || err != nil {
		t.Errorf("the first got %q, %v", b, err)
	}
	first.Close()
	p.Says(`sent \S+, 5 bytes, to \S+ in`)
	p.Signal(unix.SIGTERM)
	p.Ends(143)

	dir := t.TempDir()
	program.WriteFile(t, filepath.Join(dir, "in-2"), []byte("taken"), 0o644)
	p = program.Zcp(t, "recv", "-k", ":0", "in-%d")
	p.Dir = dir
	p.Start()
	for i := range 3 {
		c := program.Dial(t, p)
		program.Write(t, c, fmt.Appendf(nil, "number %d", i))
		c.CloseWrite()
		if _, err := io.ReadAll(c); err != nil { // the end means stored
			t.Error(err)
		}
	}
	for name, want := range map[string]string{"in-1": "number 0", "in-2": "taken", "in-3": "number 1", "in-4": "number 2"} {
		program.Holds(t, filepath.Join(dir, name), []byte(want))
	}
	p.Says(`(?m)^zcp: received in-4, 8 bytes, from 127\.0\.0\.1:\d+ in `)
	c := program.Dial(t, p)
	program.Write(t, c, []byte("half"))
	program.AwaitSize(t, filepath.Join(dir, "in-5.part"), 4)
	program.Reset(t, c)
	p.Says("connection reset by peer after 4B; in-5.part holds 4B")
	c = program.Dial(t, p)
	program.Write(t, c, []byte("running"))
	program.AwaitSize(t, filepath.Join(dir, "in-6.part"), 7)
	p.Signal(unix.SIGINT)
	p.Ends(130)
	program.WantReset(t, c)
	if list := program.ListDir(t, dir); strings.Join(list, " ") != "in-1 in-2 in-3 in-4 in-5.part in-6.part" {
		t.Errorf("the folder holds %q", list)
	}
}
