package faults

import (
	"bytes"
	"io"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/zcp-go/zcp/cmd/e2e/program"
)

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

// A fault of the receiver of a send. It is given the connection and what is sent, and
// breaks the transfer in its way.
var sendFaults = map[string]func(t *testing.T, c *net.TCPConn, sent []byte){
	"resets after a byte": func(t *testing.T, c *net.TCPConn, sent []byte) {
		prefix(t, program.ReadN(t, c, 1), sent)
		program.Reset(t, c)
	},
	"resets in the middle": func(t *testing.T, c *net.TCPConn, sent []byte) {
		prefix(t, program.ReadN(t, c, len(sent)/3), sent)
		program.Reset(t, c)
	},
	"reads everything and resets": func(t *testing.T, c *net.TCPConn, sent []byte) {
		prefix(t, program.ReadN(t, c, len(sent)), sent)
		program.Reset(t, c)
	},
	"sees the end and resets": func(t *testing.T, c *net.TCPConn, sent []byte) {
		if got, err := io.ReadAll(c); err != nil || len(got) != len(sent) {
			t.Errorf("%d bytes, %v", len(got), err)
		}
		program.Reset(t, c)
	},
	"closes with bytes unread": func(t *testing.T, c *net.TCPConn, sent []byte) {
		program.ReadN(t, c, len(sent)-1000)
		program.AwaitQueue(t, c, unix.TIOCINQ, func(n int) bool { return n >= 1000 })
		c.Close()
	},
	"ends its side, then closes with bytes unread": func(t *testing.T, c *net.TCPConn, sent []byte) {
		c.CloseWrite()
		program.ReadN(t, c, len(sent)/2)
		program.AwaitQueue(t, c, unix.TIOCINQ, func(n int) bool { return n >= 1000 })
		c.Close()
	},
	"answers, then resets": func(t *testing.T, c *net.TCPConn, sent []byte) {
		program.Write(t, c, []byte("no"))
		program.ReadN(t, c, len(sent)/2)
		program.Write(t, c, []byte("thank you"))
		program.Reset(t, c)
	},
}

// Whatever the receiver does to break it off, send does not say that all went well.
func TestSendToFaultyReceiver(t *testing.T) {
	sent := program.Noise(16<<20, 6) // more than the buffers of both ends take: what the receiver does comes before the end
	name := filepath.Join(t.TempDir(), "in")
	program.WriteFile(t, name, sent, 0o644)
	for i, fault := range slices.Sorted(maps.Keys(sendFaults)) {
		peer := sendFaults[fault]
		t.Run(fault, func(t *testing.T) {
			program.InEveryOtherMode(t, i, func(t *testing.T, m program.Mode) {
				p, c := program.MeetPeer(t, m, "send", name)
				peer(t, c, sent)
				brokenOff(t, p, fault)
			})
		})
		t.Run(fault+" a pipe", func(t *testing.T) {
			program.InEveryOtherMode(t, i+1, func(t *testing.T, m program.Mode) {
				ln, err := net.Listen("tcp", "127.0.0.1:0")
				if err != nil {
					t.Fatal(err)
				}
				defer ln.Close()
				p := m.Zcp(t, "send", "-", ln.Addr().String()).From(bytes.NewReader(sent)).Start()
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
func brokenOff(t *testing.T, p *program.Process, fault string) {
	t.Helper()
	if strings.HasPrefix(fault, "ends its side") && p.End() == 0 {
		p.Says(program.EarlyEnd) // all was acknowledged before the reset came
		return
	}
	if p.Ends(3); !strings.Contains(p.ErrOut.String(), "connection reset by peer after ") {
		t.Errorf("said %q", p.ErrOut)
	}
}

// A client in the backlog of a listener that never accepts it can connect, send and end.
// Only waiting for the peer's end shows that no peer was there.
func TestSendIntoBacklog(t *testing.T) {
	program.InModes(t, func(t *testing.T, m program.Mode) {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		p := m.Zcp(t, "send", "-f", "-i", "0.1", program.Source(t, "small"), ln.Addr().String()).Start()
		p2 := m.Zcp(t, "send", "-f", "-i", "0.1", program.Source(t, ""), ln.Addr().String()).Start()
		p.Says("all acknowledged")
		p2.Says("all acknowledged")
		ln.Close()
		p.Ends(3)
		p2.Ends(3)
		if !strings.Contains(p.ErrOut.String(), "connection reset by peer after 5B") {
			t.Errorf("said %q", p.ErrOut)
		}
	})
}

// A peer that is there but does nothing: --idle ends it with 5 and says how far it came;
// without it the transfer waits.
func TestIdle(t *testing.T) {
	program.InModes(t, func(t *testing.T, m program.Mode) {
		p, c := program.MeetPeer(t, m, "send", "--idle", "0.3", "zero:")
		p.Ends(5)
		if !strings.Contains(p.ErrOut.String(), "acknowledged (") {
			t.Errorf("said %q", p.ErrOut)
		}
		program.WantReset(t, c)
		p, _ = program.MeetPeer(t, m, "send", "--idle", "0.1", "--linger", "0.3", program.Source(t, "small"))
		p.Ends(0) // everything is acknowledged: that the peer does not close is for --linger
		p.Says(program.OpenEnd)

		dst := filepath.Join(t.TempDir(), "out")
		p = m.Zcp(t, "recv", "--idle", "0.3", ":0", dst).Start()
		c = program.Dial(t, p)
		program.Write(t, c, []byte("some"))
		p.Ends(5)
		if !strings.Contains(p.ErrOut.String(), "after 4B; "+dst+".part holds 4B") {
			t.Errorf("said %q", p.ErrOut)
		}
		program.WantReset(t, c)
	})
}

// A receiver that is stopped, and goes on later, is not an error; nor does the wait take processor time.
func TestStoppedReceiver(t *testing.T) {
	program.InModes(t, func(t *testing.T, m program.Mode) {
		out := filepath.Join(t.TempDir(), "out")
		r := m.Zcp(t, "recv", "-q", ":0", out).Start()
		port := r.Port()
		r.Signal(unix.SIGSTOP)
		p := m.Zcp(t, "send", "-S", "-s", "12M", "zero:", "127.0.0.1:"+port).Start()
		program.Stalled(t, p.Process.Pid)
		r.Signal(unix.SIGCONT)
		p.Ends(0)
		r.Ends(0)
		if st, err := os.Stat(out); err != nil || st.Size() != 12<<20 {
			t.Errorf("%v, %v", st, err)
		}

		r = m.Zcp(t, "recv", "-q", ":0", out).Start()
		port = r.Port()
		r.Signal(unix.SIGSTOP)
		m.Zcp(t, "send", "--idle", "0.3", "zero:", "127.0.0.1:"+port).Run(5)
		r.Signal(unix.SIGCONT)
		if s := r.End(); s != 3 {
			t.Errorf("the receiver ended with %d", s)
		}
	})
}
