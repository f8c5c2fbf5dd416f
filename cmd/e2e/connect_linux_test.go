package e2e

import (
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/zcp-go/zcp/cmd/e2e/program"
)

// A socket that connects to itself is refused as if nothing listened, by every command that connects.
func TestConnectedToItself(t *testing.T) {
	f := program.Source(t, "hello")
	for _, host := range []string{"127.0.0.1", "[::1]"} {
		for _, args := range [][]string{
			{"send", "--linger", "1", f, "AT"},
			{"recv", "AT", filepath.Join(t.TempDir(), "out")},
			{"relay", "-", "AT"},
		} {
			port := program.FreePort()
			at := host + ":" + strconv.Itoa(port)
			for i := range args {
				args[i] = strings.Replace(args[i], "AT", at, 1)
			}
			p := program.Zcp(t, append(args, "--bind", at)...).From(strings.NewReader("hello")).Run(1)
			if !strings.Contains(p.ErrOut.String(), "connection refused") || p.Out.String() != "" {
				t.Errorf("%v: said %q, wrote %q", args, p.ErrOut, p.Out)
			}
		}
	}
	// The relay: its client is reset, and gets none of its own bytes back.
	port := strconv.Itoa(program.FreePort())
	p := program.Zcp(t, "relay", "--bind", "127.0.0.1:"+port, "127.0.0.1:0", "127.0.0.1:"+port).Start()
	c := program.Dial(t, p)
	_, _ = c.Write([]byte("hello")) // it may be reset already
	program.WantReset(t, c)
}

// A relay to its own address is refused before it listens.
func TestRelayToItself(t *testing.T) {
	port := strconv.Itoa(program.FreePort())
	path := filepath.Join(t.TempDir(), "s")
	for _, args := range [][]string{
		{":" + port, "localhost:" + port},
		{"127.0.0.1:" + port, "127.0.0.1:" + port},
		{"0.0.0.0:" + port, "127.0.0.1:" + port},
		{":" + port, "[::1]:" + port},
		{"unix:" + path, "unix:" + path},
		{"unix:@zcp-itself-" + port, "unix:@zcp-itself-" + port},
	} {
		p := program.Zcp(t, append([]string{"relay"}, args...)...).Run(2)
		if strings.Contains(p.ErrOut.String(), "listening") {
			t.Errorf("%v: said %q", args, p.ErrOut)
		}
	}
	program.Absent(t, path)
}

// A full backlog of a Unix socket is waited for, by every command that connects.
func TestUnixBacklogFull(t *testing.T) {
	f := program.Source(t, "hello")
	for _, args := range [][]string{{"send", f}, {"recv"}, {"relay", "-"}} {
		path := filepath.Join(t.TempDir(), "s")
		fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		if err := unix.Bind(fd, &unix.SockaddrUnix{Name: path}); err != nil {
			t.Fatal(err)
		}
		if err := unix.Listen(fd, 0); err != nil {
			t.Fatal(err)
		}
		first, err := net.Dial("unix", path) // fills it
		if err != nil {
			t.Fatal(err)
		}
		defer first.Close()
		late := program.Zcp(t, append(args, "-w", "0.1", "unix:"+path)...).Run(5)
		if !strings.Contains(late.ErrOut.String(), "no answer within") {
			t.Errorf("%v: said %q", args, late.ErrOut)
		}
		p := program.Zcp(t, append(args, "-w", "30", "unix:"+path)...).From(strings.NewReader("")).Start()
		program.Asleep(t, p.Process.Pid)
		file := os.NewFile(uintptr(fd), "listener")
		ln, err := net.FileListener(file)
		file.Close()
		if err != nil {
			t.Fatal(err)
		}
		defer ln.Close()
		for range 2 { // the one that filled it, and zcp
			c, err := ln.Accept()
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			_ = c.(*net.UnixConn).CloseWrite() // the first is closed already, perhaps
			go drain(c)
		}
		p.Ends(0)
	}
}

// drain reads a connection to its end and closes it.
func drain(c net.Conn) {
	defer c.Close()
	for b := make([]byte, 4096); ; {
		if _, err := c.Read(b); err != nil {
			return
		}
	}
}

// An inherited socket that is not a stream of TCP or Unix is refused, and the words say what it is.
func TestInheritedOfOtherKinds(t *testing.T) {
	socket := func(family, typ int) *os.File {
		fd, err := unix.Socket(family, typ|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		f := os.NewFile(uintptr(fd), "socket")
		t.Cleanup(func() { f.Close() })
		return f
	}
	seq := socket(unix.AF_UNIX, unix.SOCK_SEQPACKET)
	if err := unix.Bind(int(seq.Fd()), &unix.SockaddrUnix{Name: "@zcp-seq-" + strconv.Itoa(os.Getpid())}); err != nil {
		t.Fatal(err)
	}
	if err := unix.Listen(int(seq.Fd()), 1); err != nil {
		t.Fatal(err)
	}
	for want, f := range map[string]*os.File{
		"a UDP socket": socket(unix.AF_INET, unix.SOCK_DGRAM), "a Unix datagram socket": socket(unix.AF_UNIX, unix.SOCK_DGRAM),
		"a Unix SEQPACKET socket": seq,
	} {
		for _, args := range [][]string{{"recv", "fd:3", "null:"}, {"send", "zero:", "fd:3"}} {
			p := program.Zcp(t, args...)
			p.ExtraFiles = []*os.File{f}
			if p.Run(1); !strings.Contains(p.ErrOut.String(), want) {
				t.Errorf("%v: said %q, want %q", args, p.ErrOut, want)
			}
		}
	}
	for fds, want := range map[string]string{"1000000000": " is not open\n", "0": "no socket was passed"} {
		if p := program.Zcp(t, "recv", "sd:", "null:").With("LISTEN_FDS=" + fds).Run(1); !strings.Contains(p.ErrOut.String(), want) {
			t.Errorf("LISTEN_FDS=%s: said %q", fds, p.ErrOut)
		}
	}
}

// A source port is taken again at once, and an error that it causes names it.
func TestSourcePort(t *testing.T) {
	f := program.Source(t, "hello")
	ln, _ := program.Listening(t)
	taken := ln.Addr().String()
	p := program.Zcp(t, "send", "--bind", taken, f, "127.0.0.1:9").Run(1)
	if !strings.Contains(p.ErrOut.String(), "source address "+taken+": address already in use") {
		t.Errorf("said %q", p.ErrOut)
	}
	p = program.Zcp(t, "send", "--bind", "192.0.2.1", f, "127.0.0.1:9").Run(1)
	if !strings.Contains(p.ErrOut.String(), "source address 192.0.2.1: cannot assign requested address") {
		t.Errorf("said %q", p.ErrOut)
	}
}

// Of two that start on the socket file of a dead listener, one listens and the other is told.
func TestStaleSocketTakenOnce(t *testing.T) {
	for range 10 {
		path := filepath.Join(t.TempDir(), "s")
		ln, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
		if err != nil {
			t.Fatal(err)
		}
		ln.SetUnlinkOnClose(false)
		ln.Close()
		a := program.Zcp(t, "recv", "-l", "unix:"+path, "null:").Start()
		b := program.Zcp(t, "recv", "-l", "unix:"+path, "null:").Start()
		a.Says("listening on|address already in use")
		b.Says("listening on|address already in use")
		if said := a.ErrOut.String() + b.ErrOut.String(); strings.Count(said, "listening on") != 1 || strings.Count(said, "in use") != 1 {
			t.Errorf("said %q and %q", a.ErrOut, b.ErrOut)
		}
		c, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		c.Close()
		a.End()
		b.End()
	}
}
