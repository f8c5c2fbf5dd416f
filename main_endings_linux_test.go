package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// wantReset reads a connection to its end, which has to be a reset.
func wantReset(t testing.TB, c net.Conn) {
	t.Helper()
	n, err := io.Copy(io.Discard, c)
	if !errors.Is(err, unix.ECONNRESET) {
		t.Errorf("the peer saw %v after %d bytes, want a reset", err, n)
	}
}

// asleep waits until every thread of a process sleeps, which is how a wait looks from outside.
func asleep(t testing.TB, pid int) {
	t.Helper()
	waitFor(t, fmt.Sprintf("the sleep of %d", pid), func() bool {
		once := allSleep(pid) // threads are looked at one after the other, and may wake each other
		return once && allSleep(pid)
	})
}

func allSleep(pid int) bool {
	stats, _ := filepath.Glob(filepath.Join("/proc", strconv.Itoa(pid), "task", "*", "stat"))
	for _, name := range stats {
		b, err := os.ReadFile(name)
		if err != nil {
			continue // a thread that has ended
		}
		if _, after, ok := strings.Cut(string(b), ") "); ok && after[0] != 'S' {
			return false
		}
	}
	return len(stats) > 0
}

// Wherever a command waits, a signal that asks for the end ends it by that signal, and its peer
// sees a reset and no end of file.
func TestSignals(t *testing.T) {
	waits := map[string]func(t *testing.T) (p *program, peer *net.TCPConn){
		"recv for somebody": func(t *testing.T) (*program, *net.TCPConn) {
			p := zcp(t, "recv", ":0").start()
			p.port()
			return p, nil
		},
		"recv for bytes": func(t *testing.T) (*program, *net.TCPConn) {
			p := zcp(t, "recv", ":0", filepath.Join(t.TempDir(), "out")).start()
			c := dial(t, p)
			write(t, c, []byte("some"))
			return p, c
		},
		"recv for the reader": func(t *testing.T) (*program, *net.TCPConn) {
			_, w := pipe(t)
			p := zcp(t, "recv", "-B64k", ":0")
			p.Stdout = w
			p.start()
			w.Close()
			c := dial(t, p)
			write(t, c, noise(128<<10, 1)) // the pipe takes half of it, the socket's buffer the rest
			return p, c
		},
		"send for the receiver": func(t *testing.T) (*program, *net.TCPConn) {
			p := zcp(t, "send", "zero:", ":0").start()
			return p, dial(t, p)
		},
		"send for stdin": func(t *testing.T) (*program, *net.TCPConn) {
			r, _ := pipe(t)
			p := zcp(t, "send", "-", ":0").from(r).start()
			return p, dial(t, p)
		},
		"send for the peer's end": func(t *testing.T) (*program, *net.TCPConn) {
			name := filepath.Join(t.TempDir(), "f")
			writeFile(t, name, []byte("all"), 0o644)
			p := zcp(t, "send", name, ":0").start()
			return p, dial(t, p)
		},
		"send for a FIFO's writer": func(t *testing.T) (*program, *net.TCPConn) {
			name := filepath.Join(t.TempDir(), "fifo")
			if err := unix.Mkfifo(name, 0o644); err != nil {
				t.Fatal(err)
			}
			p := zcp(t, "send", name, ":0").start()
			return p, dial(t, p)
		},
		"cat for stdin": func(t *testing.T) (*program, *net.TCPConn) {
			r, _ := pipe(t)
			return zcp(t, "cat", "-v").from(r).start(), nil
		},
		"serve with -k": func(t *testing.T) (*program, *net.TCPConn) {
			p := zcp(t, "send", "-k", "zero:", ":0").start()
			return p, dial(t, p)
		},
		"retrying": func(t *testing.T) (*program, *net.TCPConn) {
			return zcp(t, "send", "--retry-for", "1h", "/dev/null", "unix:"+filepath.Join(t.TempDir(), "nobody")).start(), nil
		},
	}
	for name, wait := range waits {
		for _, sig := range []syscall.Signal{unix.SIGHUP, unix.SIGINT, unix.SIGQUIT, unix.SIGTERM} {
			t.Run(name+"/"+unix.SignalName(sig), func(t *testing.T) {
				t.Parallel()
				p, peer := wait(t)
				asleep(t, p.Process.Pid)
				p.signal(sig)
				p.ends(128 + int(sig))
				if peer != nil && name != "send for the peer's end" { // there it has the end of file already, rightly
					wantReset(t, peer)
				}
			})
		}
	}
}

// What an interrupted command says, and what it leaves.
func TestSignalWords(t *testing.T) {
	dst := filepath.Join(t.TempDir(), "out")
	writeFile(t, dst, []byte("old"), 0o644)
	p := zcp(t, "recv", ":0", dst).start()
	c := dial(t, p)
	write(t, c, noise(5000, 1))
	awaitSize(t, dst+".part", 5000)
	p.signal(unix.SIGINT)
	p.ends(130)
	if !strings.HasSuffix(p.err.String(), "to "+dst+": interrupt after 4.88KiB; "+dst+".part holds 4.88KiB\n") {
		t.Errorf("said %q", p.err)
	}
	holds(t, dst, []byte("old"))
	holds(t, dst+".part", noise(5000, 1))
	p = zcp(t, "recv", ":0").start()
	p.port()
	p.signal(unix.SIGTERM)
	p.ends(143)
	if strings.Count(p.err.String(), "\n") != 1 {
		t.Errorf("nothing had begun, yet it said %q", p.err)
	}
}

// A signal that was ignored at the start stays ignored: nohup, a shell's background job.
func TestIgnoredSignal(t *testing.T) {
	p := command(t, "sh", "-c", `trap "" INT; exec "$0" "$@"`, zcpPath(t), "recv", ":0").start()
	c := dial(t, p)
	write(t, c, []byte("a"))
	p.out.await("a")
	p.signal(unix.SIGINT)
	write(t, c, []byte("b"))
	c.CloseWrite()
	p.ends(0)
	if p.out.String() != "ab" {
		t.Errorf("got %q", p.out)
	}
}

// The reader of standard output goes away: an end like that of cat, and a reset for the sender.
func TestReaderGone(t *testing.T) {
	r, w := pipe(t)
	p := zcp(t, "recv", ":0")
	p.Stdout = w
	p.start()
	w.Close()
	c := dial(t, p)
	r.Close()
	_, err := c.Write([]byte("nobody reads this"))
	p.ends(141)
	if err == nil { // or the reset was there before, and a reset is told once
		wantReset(t, c)
	}
	if strings.Count(p.err.String(), "\n") != 1 {
		t.Errorf("an end by SIGPIPE is silent, said %q", p.err)
	}
}

// Whoever reads stderr may go away: the bytes are what matters. Whoever reads help may, too.
func TestNobodyReads(t *testing.T) {
	r, w := pipe(t)
	r.Close()
	name := source(t, "content")
	p := zcp(t, "cat", "-v", name)
	p.Stderr = w
	if p.run(0); p.out.String() != "content" {
		t.Errorf("got %q", p.out)
	}
	for _, args := range [][]string{{"--help"}, {"recv", "--help"}, {"--version"}, {"completion", "fish"}, {"cat", name}} {
		p := zcp(t, args...)
		p.Stdout = w
		if p.run(141); p.err.String() != "" {
			t.Errorf("%v said %q", args, p.err)
		}
	}
}

// Nowhere to complain to is no reason to fail, and nowhere to write to is.
func TestClosedStreams(t *testing.T) {
	for script, want := range map[string]int{
		`"$0" cat -v "$1" 2>&-`:               0,
		`"$0" cat -v "$1" 2>/dev/full`:        0,
		`"$0" cat "$1" >&-`:                   0, // the runtime of Go has put /dev/null in its place
		`"$0" cat "$1" >/dev/full`:            1,
		`"$0" cat <&-`:                        0,
		`"$0" --help | true`:                  0,
		`"$0" --help >/dev/full`:              1,
		`"$0" completion bash >/dev/full`:     1,
		`"$0" cat "$1" <&- >&- 2>&-`:          0,
		`"$0" cat "$1" -o null: <&- >&- 2>&-`: 0,
	} {
		t.Run(script, func(t *testing.T) {
			name := filepath.Join(t.TempDir(), "f")
			writeFile(t, name, []byte("content"), 0o644)
			command(t, "sh", "-c", script, zcpPath(t), name).run(want)
			holds(t, name, []byte("content"))
		})
	}
}
