package faults

import (
	"errors"
	"fmt"
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

// urgent sends one urgent byte.
func urgent(t testing.TB, c *net.TCPConn, b byte) {
	t.Helper()
	if err := sendUrgent(c, b); err != nil {
		t.Error(err)
	}
}

func sendUrgent(c *net.TCPConn, b byte) error {
	rc, err := c.SyscallConn()
	if err != nil {
		return err
	}
	cerr := rc.Write(func(fd uintptr) bool {
		err = unix.Sendto(int(fd), []byte{b}, unix.MSG_OOB|unix.MSG_NOSIGNAL, nil)
		return err != unix.EAGAIN
	})
	return errors.Join(err, cerr)
}

// A fault of the sender of a recv, what has to arrive of content, and how recv ends.
var recvFaults = map[string]struct {
	status int
	said   string
	peer   func(t *testing.T, c *net.TCPConn, content []byte) (arrives []byte)
}{
	"resets in the middle": {3, "connection reset by peer after ", func(t *testing.T, c *net.TCPConn, content []byte) []byte {
		program.Write(t, c, content[:len(content)/3])
		program.Reset(t, c)
		return nil // what was on its way may be lost
	}},
	"resets when everything has arrived": {3, "connection reset by peer after ", func(t *testing.T, c *net.TCPConn, content []byte) []byte {
		program.Write(t, c, content)
		program.AwaitQueue(t, c, unix.TIOCOUTQ, func(n int) bool { return n == 0 })
		program.Reset(t, c)
		return nil
	}},
	"resets without a byte": {3, "connection reset by peer after 0B", func(t *testing.T, c *net.TCPConn, content []byte) []byte {
		program.Reset(t, c)
		return nil
	}},
	"urgent byte at the start": {0, program.PlainEnd, func(t *testing.T, c *net.TCPConn, content []byte) []byte {
		urgent(t, c, '!')
		program.Write(t, c, content)
		c.CloseWrite()
		return content
	}},
	"urgent byte in the middle": {0, program.PlainEnd, func(t *testing.T, c *net.TCPConn, content []byte) []byte {
		program.Write(t, c, content[:len(content)/2])
		urgent(t, c, '!')
		program.Write(t, c, content[len(content)/2:])
		c.CloseWrite()
		return content
	}},
	"urgent byte at the end": {0, program.PlainEnd, func(t *testing.T, c *net.TCPConn, content []byte) []byte {
		program.Write(t, c, content)
		urgent(t, c, '!')
		c.CloseWrite()
		return content
	}},
	"ends early": {3, "short of --size", func(t *testing.T, c *net.TCPConn, content []byte) []byte {
		program.Write(t, c, content[:len(content)-1])
		c.CloseWrite()
		return content[:len(content)-1]
	}},
}

// Whatever the sender does: every byte that comes before a reset is kept, DST appears
// only when the sender has ended in order, and urgent bytes cost no other byte.
func TestRecvFromFaultySender(t *testing.T) {
	content := program.Noise(3_000_000, 7)
	for i, fault := range slices.Sorted(maps.Keys(recvFaults)) {
		f := recvFaults[fault]
		t.Run(fault, func(t *testing.T) {
			program.InEveryOtherMode(t, i, func(t *testing.T, m program.Mode) {
				dst := filepath.Join(t.TempDir(), "out")
				args := []string{"recv", ":0", dst}
				if fault == "ends early" {
					args = append(args, "-s", fmt.Sprint(len(content)))
				}
				p := m.Zcp(t, args...).Start()
				arrives := f.peer(t, program.Dial(t, p), content)
				p.Ends(f.status)
				p.Says(f.said)
				if f.status == 0 {
					program.Holds(t, dst, arrives)
					program.Absent(t, dst+".part")
					return
				}
				program.Absent(t, dst)
				got, err := os.ReadFile(dst + ".part")
				if err != nil && !strings.Contains(f.said, "0B") {
					t.Error(err)
				}
				if prefix(t, got, content); arrives != nil && len(got) != len(arrives) {
					t.Errorf("%d of %d bytes are kept", len(got), len(arrives))
				}
			})
			program.InEveryOtherMode(t, i+1, func(t *testing.T, m program.Mode) { // to a pipe, whose splice is another
				p := m.Zcp(t, "recv", ":0").Start()
				arrives := f.peer(t, program.Dial(t, p), content)
				if p.End() != f.status && fault != "ends early" {
					t.Errorf("ended with %d: %s", p.Status, p.ErrOut)
				}
				got := []byte(p.Out.String())
				if prefix(t, got, content); f.status == 0 && len(got) != len(arrives) {
					t.Errorf("%d of %d bytes arrived", len(got), len(arrives))
				}
			})
		})
	}
}

// A pending urgent byte does not make either side spin.
func TestUrgentStall(t *testing.T) {
	program.InModes(t, func(t *testing.T, m program.Mode) {
		p := m.Zcp(t, "recv", ":0", filepath.Join(t.TempDir(), "out")).Start()
		c := program.Dial(t, p)
		program.Write(t, c, []byte("before"))
		urgent(t, c, '!')
		program.Stalled(t, p.Process.Pid)
		program.Write(t, c, []byte("after"))
		c.CloseWrite()
		p.Ends(0)
		program.Holds(t, p.Args[3], []byte("beforeafter"))

		p, c = program.MeetPeer(t, m, "send", "-S", "-s", "20M", "zero:")
		program.Write(t, c, []byte("answer"))
		urgent(t, c, '!')
		program.Stalled(t, p.Process.Pid)
		if n, err := io.Copy(io.Discard, c); n != 20<<20 || err != nil {
			t.Errorf("%d bytes, %v", n, err)
		}
		c.Close()
		p.Ends(0)
	})
}
