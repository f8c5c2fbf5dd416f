package main

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A mode is a way of moving bytes that every fault is tried with.
type mode struct {
	name string
	args []string
	env  []string
}

var modes = []mode{
	{"kernel", nil, nil},
	{"memory", []string{"-C"}, nil},
	{"ENOSYS", nil, []string{refuseVariable + "=ENOSYS"}},
	{"EPERM", nil, []string{refuseVariable + "=EPERM"}},
}

// zcp prepares the command in this mode.
func (m mode) zcp(t testing.TB, args ...string) *program {
	t.Helper()
	return zcp(t, append(args, m.args...)...).with(m.env...)
}

// inModes runs a test in every mode.
func inModes(t *testing.T, test func(t *testing.T, m mode)) {
	t.Helper()
	for _, m := range modes {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			test(t, m)
		})
	}
}

// prefix wants got to be what want begins with: nothing doubled, moved or made up.
func prefix(t testing.TB, got, want []byte) {
	t.Helper()
	if !bytes.HasPrefix(want, got) {
		n := min(len(got), len(want))
		for i := range n {
			if got[i] != want[i] {
				n = i
				break
			}
		}
		t.Errorf("%d bytes arrived that differ from the %d sent at %d", len(got), len(want), n)
	}
}

// meetPeer starts zcp against a listener and hands the test the peer's end.
func meetPeer(t testing.TB, m mode, args ...string) (*program, *net.TCPConn) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	p := m.zcp(t, append(args, ln.Addr().String())...).start()
	c, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(guardTime)); err != nil {
		t.Fatal(err)
	}
	return p, c.(*net.TCPConn)
}

// readN reads n bytes from a peer that sends at least so many.
func readN(t testing.TB, r io.Reader, n int) []byte {
	t.Helper()
	b := make([]byte, n)
	if m, err := io.ReadFull(r, b); err != nil {
		t.Errorf("after %d of %d bytes: %v", m, n, err)
	}
	return b
}

// A fault of the receiver of a send. It is given the connection and what is sent, and
// breaks the transfer in its way.
var sendFaults = map[string]func(t *testing.T, c *net.TCPConn, sent []byte){
	"resets after a byte": func(t *testing.T, c *net.TCPConn, sent []byte) {
		prefix(t, readN(t, c, 1), sent)
		reset(t, c)
	},
	"resets in the middle": func(t *testing.T, c *net.TCPConn, sent []byte) {
		prefix(t, readN(t, c, len(sent)/3), sent)
		reset(t, c)
	},
	"reads everything and resets": func(t *testing.T, c *net.TCPConn, sent []byte) {
		prefix(t, readN(t, c, len(sent)), sent)
		reset(t, c)
	},
	"sees the end and resets": func(t *testing.T, c *net.TCPConn, sent []byte) {
		if got, err := io.ReadAll(c); err != nil || len(got) != len(sent) {
			t.Errorf("%d bytes, %v", len(got), err)
		}
		reset(t, c)
	},
	"closes with bytes unread": func(t *testing.T, c *net.TCPConn, sent []byte) {
		readN(t, c, len(sent)-1000)
		awaitQueue(t, c, unix.TIOCINQ, func(n int) bool { return n >= 1000 })
		c.Close()
	},
	"ends its side, then closes with bytes unread": func(t *testing.T, c *net.TCPConn, sent []byte) {
		c.CloseWrite()
		readN(t, c, len(sent)/2)
		awaitQueue(t, c, unix.TIOCINQ, func(n int) bool { return n >= 1000 })
		c.Close()
	},
	"answers, then resets": func(t *testing.T, c *net.TCPConn, sent []byte) {
		write(t, c, []byte("no"))
		readN(t, c, len(sent)/2)
		write(t, c, []byte("thank you"))
		reset(t, c)
	},
}

// Whatever the receiver does to break it off, send does not say that all went well.
func TestSendToFaultyReceiver(t *testing.T) {
	sent := noise(16<<20, 6) // more than the buffers of both ends take: what the receiver does comes before the end
	name := filepath.Join(t.TempDir(), "in")
	writeFile(t, name, sent, 0o644)
	for fault, peer := range sendFaults {
		t.Run(fault, func(t *testing.T) {
			inModes(t, func(t *testing.T, m mode) {
				p, c := meetPeer(t, m, "send", name)
				peer(t, c, sent)
				brokenOff(t, p, fault)
			})
		})
		t.Run(fault+" a pipe", func(t *testing.T) {
			inModes(t, func(t *testing.T, m mode) {
				ln, err := net.Listen("tcp", "127.0.0.1:0")
				if err != nil {
					t.Fatal(err)
				}
				defer ln.Close()
				p := m.zcp(t, "send", "-", ln.Addr().String()).from(bytes.NewReader(sent)).start()
				c, err := ln.Accept()
				if err != nil {
					t.Fatal(err)
				}
				defer c.Close()
				peer(t, c.(*net.TCPConn), sent)
				brokenOff(t, p, fault)
			})
		})
	}
}

// brokenOff wants a send to end with 3 and to say why, or else to say that it cannot know.
func brokenOff(t *testing.T, p *program, fault string) {
	t.Helper()
	if strings.HasPrefix(fault, "ends its side") && p.end() == 0 {
		p.says(earlyEnd) // all was acknowledged before the reset came
		return
	}
	if p.ends(3); !strings.Contains(p.err.String(), "connection reset by peer after ") {
		t.Errorf("said %q", p.err)
	}
}

// A client in the backlog of a listener that never accepts it can connect, send and end.
// Only waiting for the peer's end shows that nobody was there.
func TestSendIntoBacklog(t *testing.T) {
	inModes(t, func(t *testing.T, m mode) {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		p := m.zcp(t, "send", "-f", "-i", "0.1", source(t, "small"), ln.Addr().String()).start()
		p2 := m.zcp(t, "send", "-f", "-i", "0.1", source(t, ""), ln.Addr().String()).start()
		p.says("all acknowledged")
		p2.says("all acknowledged")
		ln.Close()
		p.ends(3)
		p2.ends(3)
		if !strings.Contains(p.err.String(), "connection reset by peer after 5B") {
			t.Errorf("said %q", p.err)
		}
	})
}

// A peer that is there but does nothing: --idle ends it with 5 and says how far it came;
// without it the transfer waits.
func TestIdle(t *testing.T) {
	inModes(t, func(t *testing.T, m mode) {
		p, c := meetPeer(t, m, "send", "--idle", "0.3", "zero:")
		p.ends(5)
		if !strings.Contains(p.err.String(), "acknowledged (") {
			t.Errorf("said %q", p.err)
		}
		wantReset(t, c)
		p, _ = meetPeer(t, m, "send", "--idle", "0.1", "--linger", "0.3", source(t, "small"))
		p.ends(0) // everything is acknowledged: that the peer does not close is for --linger
		p.says(openEnd)

		dst := filepath.Join(t.TempDir(), "out")
		p = m.zcp(t, "recv", "--idle", "0.3", ":0", dst).start()
		c = dial(t, p)
		write(t, c, []byte("some"))
		p.ends(5)
		if !strings.Contains(p.err.String(), "after 4B; "+dst+".part holds 4B") {
			t.Errorf("said %q", p.err)
		}
		wantReset(t, c)
	})
}

// A receiver that is stopped, and goes on later, is no error; nor does the wait cost time.
func TestStoppedReceiver(t *testing.T) {
	inModes(t, func(t *testing.T, m mode) {
		out := filepath.Join(t.TempDir(), "out")
		r := m.zcp(t, "recv", "-q", ":0", out).start()
		port := r.port()
		r.signal(unix.SIGSTOP)
		p := m.zcp(t, "send", "-S", "-s", "12M", "zero:", "127.0.0.1:"+port).start()
		stalled(t, p.Process.Pid)
		r.signal(unix.SIGCONT)
		p.ends(0)
		r.ends(0)
		if st, err := os.Stat(out); err != nil || st.Size() != 12<<20 {
			t.Errorf("%v, %v", st, err)
		}

		r = m.zcp(t, "recv", "-q", ":0", out).start()
		port = r.port()
		r.signal(unix.SIGSTOP)
		m.zcp(t, "send", "--idle", "0.3", "zero:", "127.0.0.1:"+port).run(5)
		r.signal(unix.SIGCONT)
		if s := r.end(); s != 3 {
			t.Errorf("the receiver ended with %d", s)
		}
	})
}

// spinLimit is the most processor time that a transfer may use while nothing moves.
const spinLimit = 50 * time.Millisecond

// stalled waits until a process sleeps and wants it to use next to no processor time
// for half a second from then on.
func stalled(t testing.TB, pid int) {
	t.Helper()
	asleep(t, pid)
	before := processorTime(pid)
	time.Sleep(500 * time.Millisecond) // the measurement, not a synchronisation
	if used := processorTime(pid) - before; used > spinLimit {
		t.Errorf("a stalled transfer used %v of processor time in 500 ms", used)
	}
}

// processorTime returns what all threads of a process have used so far, to the
// nanosecond, and 0 of one that has ended.
func processorTime(pid int) (sum time.Duration) {
	files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
	for _, name := range files {
		var ns int64
		if b, err := os.ReadFile(name); err == nil {
			fmt.Sscan(string(b), &ns)
			sum += time.Duration(ns)
		}
	}
	return sum
}
