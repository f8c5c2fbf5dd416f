package e2e

import (
	"bytes"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/zcp-go/zcp/cmd/e2e/program"
)

// probe tells by its status whether there is a listener, sends nothing, and ends in order, also where the
// other side has sent what it does not read.
func TestProbe(t *testing.T) {
	t.Parallel()
	got := make(chan string, 2)
	addr := program.Target(t, "tcp", func(c net.Conn) {
		_, _ = c.Write([]byte("220 a greeting\r\n"))
		b, err := io.ReadAll(c)
		c.Close()
		got <- string(b) + "|" + errText(err)
	})
	_, port, _ := net.SplitHostPort(addr)
	p := program.Zcp(t, "probe", "localhost:"+port).Run(0)
	p.Says(`^zcp: localhost:` + port + ` \(127\.0\.0\.1\) takes connections\n$`)
	if said := <-got; said != "|" {
		t.Errorf("the listener saw %q", said)
	}
	if q := program.Zcp(t, "probe", "-q", addr).Run(0); q.ErrOut.String() != "" {
		t.Errorf("-q said %q", q.ErrOut)
	}
	<-got
	program.Zcp(t, "probe", "--json", "-4", addr).Run(0).Says(`^\{"event":"probe","time":"[^"]+","target":"` + addr + `","addr":"` + addr + `","seconds":[0-9.e-]+\}\n$`)

	none := "127.0.0.1:" + strconv.Itoa(program.FreePort())
	program.Zcp(t, "probe", none).Run(1).Says(`^zcp: ` + none + `: connection refused\n$`)
	program.Zcp(t, "probe", "unix:"+filepath.Join(t.TempDir(), "s")).Run(1)
	late := program.Zcp(t, "probe", "--retry-for", "1m", none).Start()
	program.Asleep(t, late.Process.Pid)
	ln, err := net.Listen("tcp", none)
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	late.Ends(0)
}

func errText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// A listener whose backlog is full answers nothing: 5.
func TestProbeSilence(t *testing.T) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	if err := unix.Listen(fd, 0); err != nil {
		t.Fatal(err)
	}
	sa, err := unix.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	addr := "127.0.0.1:" + strconv.Itoa(sa.(*unix.SockaddrInet4).Port)
	c, err := net.Dial("tcp", addr) // it fills the backlog of 0, which holds one
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	program.Zcp(t, "probe", "-w", "0.3", addr).Run(5).Says(`no answer within 0\.30s`)
}

// --skip begins in the middle of a file, and of what cannot seek; more than there is is incomplete.
func TestSkip(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	content := program.Noise(3_000_000, 4)
	in, out := filepath.Join(dir, "in"), filepath.Join(dir, "out")
	program.WriteFile(t, in, content, 0o644)
	for _, skip := range []int{1, 1_000_001, 3_000_000} {
		n := strconv.Itoa(skip)
		program.Zcp(t, "cat", "--skip", n, "-o", out, in).Run(0)
		program.Holds(t, out, content[skip:])
		program.Zcp(t, "cat", "--skip", n, "-o", out).From(bytes.NewReader(content)).Run(0)
		program.Holds(t, out, content[skip:])
		r := program.Zcp(t, "recv", "-q", ":0", out).Start()
		program.Zcp(t, "send", "-S", "-s", "1M", "--skip", n, in, "127.0.0.1:"+r.Port()).Run(map[bool]int{true: 0, false: 3}[skip < 1_900_000])
		if r.End(); skip < 1_900_000 {
			program.Holds(t, out, content[skip:skip+1<<20])
		}
	}
	program.Zcp(t, "cat", "-n", "--skip", "1000000", in).Run(0).Says(`(?m)^100$`)
	for _, p := range []*program.Process{program.Zcp(t, "cat", "--skip", "3000001", in), program.Zcp(t, "cat", "--skip", "3000001").From(bytes.NewReader(content))} {
		p.Run(3).Says(`holds 3,000,000 bytes \(2\.86MiB\), which is less than --skip 3,000,001 bytes`)
	}
	p := program.Zcp(t, "cat", "--skip", "1M", "--explain", "-o", out, in).Run(0)
	p.Says(`ran: (copy_file_range|sendfile|splice).*: 1\.86MiB in`)
}

// --socket-mode is the mode of the socket file, whatever the umask is.
func TestSocketMode(t *testing.T) {
	for _, mode := range []os.FileMode{0o600, 0o660, 0o666} {
		for _, args := range [][]string{{"recv", "-l", "AT", "null:"}, {"relay", "AT", "127.0.0.1:1"}, {"relay", "--stats", "AT", "127.0.0.1:0", "127.0.0.1:1"}} {
			path := filepath.Join(t.TempDir(), "s")
			p := program.Command(t, "sh", "-c", `umask 027; exec zcp "$@"`, "sh", args[0], "--socket-mode", "0"+strconv.FormatInt(int64(mode), 8))
			for _, a := range args[1:] {
				if a == "AT" {
					a = "unix:" + path
				}
				p.Args = append(p.Args, a)
			}
			p.Start().Says(`(listening|statistics) on .*` + path)
			if fi, err := os.Stat(path); err != nil || fi.Mode().Perm() != mode {
				t.Errorf("%v: %v, %v", args, fi, err)
			}
			p.Signal(unix.SIGTERM)
			p.End()
			program.Absent(t, path)
		}
	}
}

// --dscp marks what both sides of a connection send; --bind :PORT chooses the source port alone.
func TestClassAndSourcePort(t *testing.T) {
	for _, host := range []string{"127.0.0.1", "[::1]"} {
		ln, err := net.Listen("tcp", host+":0")
		if err != nil {
			t.Fatal(err)
		}
		defer ln.Close()
		for _, args := range [][]string{{"recv", "AT", "null:"}, {"relay", "127.0.0.1:0", "AT"}} {
			source := program.FreePort()
			p := program.Zcp(t, args[0], "--dscp", "cs1", "--bind", ":"+strconv.Itoa(source))
			for _, a := range args[1:] {
				if a == "AT" {
					a = ln.Addr().String()
				}
				p.Args = append(p.Args, a)
			}
			p.Start()
			var client *net.TCPConn
			if args[0] == "relay" {
				client = program.Dial(t, p)
			}
			c, err := ln.Accept()
			if err != nil {
				t.Fatal(err)
			}
			if port := c.RemoteAddr().(*net.TCPAddr).Port; port != source {
				t.Errorf("%s %v: from port %d, want %d", host, args, port, source)
			}
			if !hasClass(t, p.Process.Pid) {
				t.Errorf("%s %v: no socket of it has the class cs1", host, args)
			}
			c.Close()
			if client != nil {
				client.Close()
			}
			p.Signal(unix.SIGTERM)
			p.End()
		}
	}
}

// hasClass tells whether a process has a TCP socket of the class cs1, by a duplicate of it (pidfd_getfd(2)).
func hasClass(t *testing.T, pid int) bool {
	t.Helper()
	pidfd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		t.Skipf("NOT TESTED: pidfd_open: %v", err)
	}
	defer unix.Close(pidfd)
	for n := range 64 {
		fd, err := unix.PidfdGetfd(pidfd, n, 0)
		if err != nil {
			continue
		}
		tos, err4 := unix.GetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_TOS)
		class, err6 := unix.GetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_TCLASS)
		unix.Close(fd)
		if err4 == nil && tos == 8<<2 || err6 == nil && class == 8<<2 {
			return true
		}
	}
	return false
}
