package e2e

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/zcp-go/zcp/cmd/e2e/program"
)

// Wherever a command waits, a signal that asks for the end ends it by that signal, and its peer
// sees a reset and no end of file.
func TestSignals(t *testing.T) {
	t.Parallel()
	waits := map[string]func(t *testing.T) (p *program.Process, peer *net.TCPConn){
		"recv, listening": func(t *testing.T) (*program.Process, *net.TCPConn) {
			p := program.Zcp(t, "recv", ":0").Start()
			p.Port()
			return p, nil
		},
		"recv for bytes": func(t *testing.T) (*program.Process, *net.TCPConn) {
			p := program.Zcp(t, "recv", ":0", filepath.Join(t.TempDir(), "out")).Start()
			c := program.Dial(t, p)
			program.Write(t, c, []byte("some"))
			return p, c
		},
		"recv for the reader": func(t *testing.T) (*program.Process, *net.TCPConn) {
			_, w := program.Pipe(t)
			p := program.Zcp(t, "recv", "-B64k", ":0")
			p.Stdout = w
			p.Start()
			w.Close()
			c := program.Dial(t, p)
			program.Write(t, c, program.Noise(128<<10, 1)) // the pipe takes half of it, the socket's buffer the rest
			return p, c
		},
		"send for the receiver": func(t *testing.T) (*program.Process, *net.TCPConn) {
			p := program.Zcp(t, "send", "zero:", ":0").Start()
			return p, program.Dial(t, p)
		},
		"send for stdin": func(t *testing.T) (*program.Process, *net.TCPConn) {
			r, _ := program.Pipe(t)
			p := program.Zcp(t, "send", "-", ":0").From(r).Start()
			return p, program.Dial(t, p)
		},
		"send for the peer's end": func(t *testing.T) (*program.Process, *net.TCPConn) {
			name := filepath.Join(t.TempDir(), "f")
			program.WriteFile(t, name, []byte("all"), 0o644)
			p := program.Zcp(t, "send", name, ":0").Start()
			return p, program.Dial(t, p)
		},
		"send for a FIFO's writer": func(t *testing.T) (*program.Process, *net.TCPConn) {
			name := filepath.Join(t.TempDir(), "fifo")
			if err := unix.Mkfifo(name, 0o644); err != nil {
				t.Fatal(err)
			}
			p := program.Zcp(t, "send", name, ":0").Start()
			return p, program.Dial(t, p)
		},
		"cat for stdin": func(t *testing.T) (*program.Process, *net.TCPConn) {
			r, _ := program.Pipe(t)
			return program.Zcp(t, "cat", "-v").From(r).Start(), nil
		},
		"serve with -k": func(t *testing.T) (*program.Process, *net.TCPConn) {
			p := program.Zcp(t, "send", "-k", "zero:", ":0").Start()
			return p, program.Dial(t, p)
		},
		"retrying": func(t *testing.T) (*program.Process, *net.TCPConn) {
			return program.Zcp(t, "send", "--retry-for", "1h", "/dev/null", "unix:"+filepath.Join(t.TempDir(), "absent")).Start(), nil
		},
	}
	for name, wait := range waits {
		for _, sig := range []syscall.Signal{unix.SIGHUP, unix.SIGINT, unix.SIGQUIT, unix.SIGTERM} {
			t.Run(name+"/"+unix.SignalName(sig), func(t *testing.T) {
				t.Parallel()
				p, peer := wait(t)
				program.Asleep(t, p.Process.Pid)
				p.Signal(sig)
				p.Ends(128 + int(sig))
				if peer != nil && name != "send for the peer's end" { // there it has the end of file already, rightly
					program.WantReset(t, peer)
				}
			})
		}
	}
}

// What an interrupted command says, and what it leaves.
func TestSignalWords(t *testing.T) {
	dst := filepath.Join(t.TempDir(), "out")
	program.WriteFile(t, dst, []byte("old"), 0o644)
	p := program.Zcp(t, "recv", ":0", dst).Start()
	c := program.Dial(t, p)
	program.Write(t, c, program.Noise(5000, 1))
	program.AwaitSize(t, dst+".part", 5000)
	p.Signal(unix.SIGINT)
	p.Ends(130)
	if !strings.HasSuffix(p.ErrOut.String(), "to "+dst+": interrupted after 4.88KiB; "+dst+".part holds 4.88KiB\n") {
		t.Errorf("said %q", p.ErrOut)
	}
	program.Holds(t, dst, []byte("old"))
	program.Holds(t, dst+".part", program.Noise(5000, 1))
	p = program.Zcp(t, "recv", ":0").Start()
	p.Port()
	p.Signal(unix.SIGTERM)
	p.Ends(143)
	if strings.Count(p.ErrOut.String(), "\n") != 1 {
		t.Errorf("nothing had begun, yet it said %q", p.ErrOut)
	}
}

// A signal that was ignored at the start stays ignored: nohup, a shell's background job.
func TestIgnoredSignal(t *testing.T) {
	p := program.Command(t, "sh", "-c", `trap "" INT; exec "$0" "$@"`, program.Path(t), "recv", ":0").Start()
	c := program.Dial(t, p)
	program.Write(t, c, []byte("a"))
	p.Out.Await("a")
	p.Signal(unix.SIGINT)
	program.Write(t, c, []byte("b"))
	c.CloseWrite()
	p.Ends(0)
	if p.Out.String() != "ab" {
		t.Errorf("got %q", p.Out)
	}
}

// recvIntoPipe starts a receiver whose standard output is a pipe that is read from r.
func recvIntoPipe(t *testing.T) (p *program.Process, r *os.File) {
	r, w := program.Pipe(t)
	p = program.Zcp(t, "recv", ":0")
	p.Stdout = w
	p.Start()
	w.Close()
	return p, r
}

// The reader of standard output goes away: an end like that of cat, and a reset for the sender.
func TestReaderGone(t *testing.T) {
	p, r := recvIntoPipe(t)
	c := program.Dial(t, p)
	r.Close()
	_, err := c.Write([]byte("this is never read"))
	p.Ends(141)
	if err == nil { // or the reset was there before, and a reset is told once
		program.WantReset(t, c)
	}
	if strings.Count(p.ErrOut.String(), "\n") != 1 {
		t.Errorf("an end by SIGPIPE is silent, said %q", p.ErrOut)
	}
}

// A reader that leaves when it has everything, as tar(1) does, missed nothing: there is only the end to come.
func TestReaderLeavesAtTheEnd(t *testing.T) {
	p, r := recvIntoPipe(t)
	c := program.Dial(t, p)
	program.Write(t, c, []byte("everything"))
	program.ReadN(t, r, len("everything"))
	r.Close()
	if err := c.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	p.Ends(0)

	r, w := program.Pipe(t)
	in, out := program.Pipe(t)
	p = program.Zcp(t, "cat").From(in)
	p.Stdout = w
	p.Start()
	w.Close()
	in.Close()
	program.Write(t, out, []byte("everything"))
	program.ReadN(t, r, len("everything"))
	r.Close()
	out.Close()
	p.Ends(0)
}

// The reader of stderr may go away: the bytes are what matters. The reader of help may, too.
func TestNoReader(t *testing.T) {
	r, w := program.Pipe(t)
	r.Close()
	name := program.Source(t, "content")
	p := program.Zcp(t, "cat", "-v", name)
	p.Stderr = w
	if p.Run(0); p.Out.String() != "content" {
		t.Errorf("got %q", p.Out)
	}
	for _, args := range [][]string{{"--help"}, {"recv", "--help"}, {"--version"}, {"completion", "fish"}, {"cat", name}} {
		p := program.Zcp(t, args...)
		p.Stdout = w
		if p.Run(141); p.ErrOut.String() != "" {
			t.Errorf("%v said %q", args, p.ErrOut)
		}
	}
}

// A closed stderr does not make a run fail; a closed destination does.
func TestClosedStreams(t *testing.T) {
	for script, want := range map[string]int{
		`"$0" cat -v "$1" 2>&-`:               0,
		`"$0" cat -v "$1" 2>/dev/full`:        0,
		`"$0" cat "$1" >&-`:                   1, // not the /dev/null that Go's runtime puts in its place
		`"$0" cat "$1" >/dev/full`:            1,
		`"$0" cat <&-`:                        1,
		`"$0" --help | true`:                  0,
		`"$0" --help >/dev/full`:              1,
		`"$0" completion bash >/dev/full`:     1,
		`"$0" cat "$1" <&- >&- 2>&-`:          1,
		`"$0" cat "$1" -o null: <&- >&- 2>&-`: 0,
	} {
		t.Run(script, func(t *testing.T) {
			name := filepath.Join(t.TempDir(), "f")
			program.WriteFile(t, name, []byte("content"), 0o644)
			program.Command(t, "sh", "-c", script, program.Path(t), name).Run(want)
			program.Holds(t, name, []byte("content"))
		})
	}
}
