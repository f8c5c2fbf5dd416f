package faults

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/zcp-go/zcp/cmd/e2e/program"
)

// A cable is a network of two hosts, each a namespace of its own, with a wire between
// them that can be cut, slowed down and made to lose packets.
type cable struct {
	t    testing.TB
	a, b string // the namespaces
}

// The addresses of its ends.
const (
	hostA = "192.0.2.1"
	hostB = "192.0.2.2"
)

func newCable(t testing.TB) *cable {
	t.Helper()
	c := newHosts(t)
	c.ip("-n", c.a, "link", "add", "wire", "type", "veth", "peer", "name", "wire", "netns", c.b)
	c.plugIn()
	return c
}

// newHosts makes the two hosts, without a wire.
func newHosts(t testing.TB) *cable {
	t.Helper()
	program.NeedRoot(t)
	program.NeedTool(t, "ip")
	name := fmt.Sprintf("zcp%d%d", os.Getpid(), time.Now().UnixNano()%1e6)
	c := &cable{t, name + "a", name + "b"}
	for _, ns := range []string{c.a, c.b} {
		if out, err := exec.Command("ip", "netns", "add", ns).CombinedOutput(); err != nil {
			t.Skipf("NOT TESTED: ip netns add: %v %s", err, out)
		}
		t.Cleanup(func() { c.ip("netns", "del", ns) })
	}
	return c
}

// plugIn gives both ends of the wire their addresses.
func (c *cable) plugIn() {
	for ns, addr := range map[string]string{c.a: hostA, c.b: hostB} {
		c.ip("-n", ns, "addr", "add", addr+"/24", "dev", "wire")
		c.ip("-n", ns, "link", "set", "wire", "up")
		c.ip("-n", ns, "link", "set", "lo", "up")
	}
}

func (c *cable) ip(args ...string) {
	c.t.Helper()
	if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
		c.t.Errorf("ip %v: %v %s", args, err, out)
	}
}

// on prepares a command at one of the ends.
func (c *cable) on(ns string, m program.Mode, args ...string) *program.Process {
	c.t.Helper()
	p := m.Zcp(c.t, args...)
	p.Args = append([]string{"ip", "netns", "exec", ns, p.Path}, p.Args[1:]...)
	var err error
	if p.Path, err = exec.LookPath("ip"); err != nil {
		c.t.Fatal(err)
	}
	return p
}

// pair starts a transfer of content from a to b and waits until a part of it has arrived.
func (c *cable) pair(m program.Mode, content string, extra ...string) (s, r *program.Process, out string) {
	c.t.Helper()
	dir := c.t.TempDir()
	out = filepath.Join(dir, "out")
	r = c.on(c.b, m, append([]string{"recv", ":0", out}, extra...)...).Start()
	addr := net.JoinHostPort(hostB, r.Port())
	s = c.on(c.a, m, append([]string{"send", content, addr}, extra...)...).Start()
	return s, r, out
}

func awaitSome(t testing.TB, name string, n int64) {
	t.Helper()
	program.WaitFor(t, "bytes in "+name, func() bool {
		fi, err := os.Stat(name)
		return err == nil && fi.Size() >= n
	})
}

// A cable is cut in mid-stream and says nothing: --idle ends both sides with 5. One that
// is mended in time was never cut.
func TestCutCable(t *testing.T) {
	for _, m := range program.Modes[:2] {
		t.Run(m.Name, func(t *testing.T) {
			t.Parallel()
			c := newCable(t)
			s, r, out := c.pair(m, "zero:", "--idle", "1.5")
			awaitSome(t, out+".part", 1<<20)
			c.ip("-n", c.b, "link", "set", "wire", "down")
			s.Ends(5)
			r.Ends(5)
			program.Absent(t, out)
			s.Says(`"zero:" to ` + hostB + `\S+: (no byte in either direction for the time allowed|no route to host|network is unreachable|connection timed out) after \S+ acknowledged`)

			c.ip("-n", c.b, "link", "set", "wire", "up")
			name := filepath.Join(t.TempDir(), "in")
			content := program.Noise(30<<20, 40)
			program.WriteFile(t, name, content, 0o644)
			s, r, out = c.pair(m, name, "--idle", "30", "-L", "40M")
			awaitSome(t, out+".part", 1<<20)
			c.ip("-n", c.a, "link", "set", "wire", "down")
			program.Asleep(t, r.Process.Pid)
			c.ip("-n", c.a, "link", "set", "wire", "up")
			s.Ends(0)
			r.Ends(0)
			program.Holds(t, out, content)
		})
	}
}

// A wire that comes and goes.
func TestFlappingLink(t *testing.T) {
	content := program.Noise(30<<20, 42)
	name := filepath.Join(t.TempDir(), "in")
	program.WriteFile(t, name, content, 0o644)
	for _, m := range program.Modes[:2] {
		t.Run(m.Name, func(t *testing.T) {
			t.Parallel()
			c := newCable(t)
			s, r, out := c.pair(m, name, "-L", "60M")
			for i := range int64(4) {
				awaitSome(t, out+".part", 1+i<<20)
				c.ip("-n", c.b, "link", "set", "wire", "down")
				c.ip("-n", c.b, "link", "set", "wire", "up")
			}
			s.Ends(0)
			r.Ends(0)
			program.Holds(t, out, content)
		})
	}
}

// Packets that are lost, doubled and late cost time and nothing else.
func TestLoss(t *testing.T) {
	content := program.Noise(3<<20, 41)
	name := filepath.Join(t.TempDir(), "in")
	program.WriteFile(t, name, content, 0o644)
	program.InModes(t, func(t *testing.T, m program.Mode) {
		c := newHosts(t)
		w := c.badWire(uint64(len(m.Name)))
		s, r, out := c.pair(m, name)
		s.Ends(0)
		r.Ends(0)
		program.Holds(t, out, content)
		if w.lost.Load() == 0 || w.doubled.Load() == 0 || w.late.Load() == 0 {
			t.Errorf("the wire was too good: %d packets lost, %d doubled, %d late", w.lost.Load(), w.doubled.Load(), w.late.Load())
		}
	})
}

// A host that does not answer at all, and a network that is not there.
func TestBlackHole(t *testing.T) {
	t.Parallel() // it waits for what never answers
	c := newCable(t)
	c.ip("-n", c.b, "link", "set", "wire", "down")
	c.ip("-n", c.a, "neigh", "replace", hostB, "lladdr", "02:00:00:00:00:01", "dev", "wire", "nud", "permanent")
	for _, args := range [][]string{
		{"send", "/dev/null", hostB + ":9", "-w", "0.5"}, {"recv", hostB + ":9", "-w", "0.5"},
		{"recv", hostB + ":9", "-w", "0.2", "--retry-for", "0.7"},
	} {
		p := c.on(c.a, program.Modes[0], args...).Run(5)
		if !strings.Contains(p.ErrOut.String(), "no answer within ") {
			t.Errorf("said %q", p.ErrOut)
		}
	}
	p := c.on(c.a, program.Modes[0], "recv", "198.51.100.1:9").Run(1)
	if !strings.Contains(p.ErrOut.String(), "network is unreachable") {
		t.Errorf("said %q", p.ErrOut)
	}
}

// A backlog that is full swallows connections, which looks like a host that does not answer.
func TestFullBacklog(t *testing.T) {
	t.Parallel() // it waits for what never answers
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	for _, err := range []error{unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}), unix.Listen(fd, 0)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	sa, err := unix.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	addr := fmt.Sprintf("127.0.0.1:%d", sa.(*unix.SockaddrInet4).Port)
	full, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer full.Close()
	program.Zcp(t, "send", "-w", "0.5", "/dev/null", addr).Run(5).Says(`no answer within 0.50s`)
	program.Zcp(t, "recv", "-w", "0.5", addr).Run(5)
}
