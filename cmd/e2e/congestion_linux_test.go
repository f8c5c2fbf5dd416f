package e2e

import (
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/zcp-go/zcp/cmd/e2e/program"
)

// congestions are the algorithms that this kernel has loaded.
func congestions(t *testing.T) []string {
	t.Helper()
	b, err := os.ReadFile("/proc/sys/net/ipv4/tcp_available_congestion_control")
	if err != nil {
		t.Skipf("NOT TESTED: %v", err)
	}
	return strings.Fields(string(b))
}

// inHost prepares a shell in a network of its own whose default congestion control is the one given.
// $zcp is the command under test.
func inHost(t *testing.T, congestion, script string) *program.Process {
	t.Helper()
	program.NeedRoot(t)
	program.NeedTool(t, "unshare", "ip", "sysctl")
	if !slices.Contains(congestions(t), congestion) {
		t.Skipf("NOT TESTED: this kernel has not loaded %s", congestion)
	}
	if out, err := exec.Command("unshare", "--net", "true").CombinedOutput(); err != nil {
		t.Skipf("NOT TESTED: unshare --net: %v %s", err, out)
	}
	const host = `set -e
ip link set lo up
ip address add 198.51.100.7/32 dev lo
sysctl -qw net.ipv4.tcp_congestion_control="$1"
eval "$2"`
	return program.Command(t, "unshare", "--net", "sh", "-c", host, "sh", congestion, script).With("zcp=" + program.Path(t))
}

// A peer on this host, by whichever of its addresses, is not paced; what was asked for wins.
func TestCongestionLocal(t *testing.T) {
	file := filepath.Join(t.TempDir(), "f")
	program.WriteFile(t, file, program.Noise(1<<20, 1), 0o644)
	const replaced = `plan: congestion control reno: the peer is on this host, bbr would pace it`
	for _, c := range []struct{ name, host, flags, want, ran string }{
		{"bbr", "bbr", "127.0.0.1:9000", replaced, `ran: congestion control reno, not paced`},
		{"own address", "bbr", "198.51.100.7:9000", replaced, `ran: congestion control reno, not paced`},
		{"reno", "reno", "127.0.0.1:9000", `plan: congestion control reno`, `ran: congestion control reno, not paced`},
		{"asked", "bbr", "--congestion bbr 127.0.0.1:9000", `plan: congestion control bbr`,
			`ran: congestion control bbr, paced at \S+/s, delivered \S+/s, shortest RTT \S+( ?: pacing was the limit, --congestion \w+ would help)?`},
		{"asked for another", "bbr", "--congestion cubic 127.0.0.1:9000", `plan: congestion control cubic`, `ran: congestion control cubic, not paced`},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := inHost(t, c.host, `"$zcp" recv -q :9000 null: & "$zcp" send --explain --retry-for 10s `+file+" "+c.flags+"; wait").Run(0)
			explained(t, p, c.want, c.ran)
		})
	}
	t.Run("accepted", func(t *testing.T) {
		p := inHost(t, "bbr", `"$zcp" recv -q --retry-for 10s 127.0.0.1:9000 null: & "$zcp" send --explain `+file+" :9000; wait").Run(0)
		explained(t, p, replaced, `ran: congestion control reno, not paced`)
	})
}

// reno is its option as strace shows it, or as an older one does: as a number.
var reno = regexp.MustCompile(`TCP_CONGESTION, ("reno"|\[1869505906\])`)

// What bbr has begun to pace, the kernel goes on to pace: it is replaced before there is a connection.
func TestCongestionBeforeConnect(t *testing.T) {
	program.NeedTool(t, "strace")
	dir := t.TempDir()
	file, trace := filepath.Join(dir, "f"), filepath.Join(dir, "trace")
	program.WriteFile(t, file, program.Noise(1<<20, 1), 0o644)
	for stands, script := range map[string]string{
		"connect(": `"$zcp" recv -q :9000 null: & $strace "$zcp" send -q --retry-for 10s ` + file + ` 127.0.0.1:9000; wait`,
		"listen(":  `"$zcp" recv -q --retry-for 10s 127.0.0.1:9000 null: & $strace "$zcp" send -q -l ` + file + ` 127.0.0.1:9000; wait`,
	} {
		p := inHost(t, "bbr", script)
		p.With("strace=strace -f -qq -o " + trace + " -e signal=none -e trace=setsockopt,connect,listen").Run(0)
		socket := ""
		for line := range strings.Lines(program.Trace(t, trace)) {
			switch _, args, _ := strings.Cut(line, "("); {
			case reno.MatchString(line):
				socket, _, _ = strings.Cut(args, ",")
			case strings.Contains(line, stands) && strings.HasPrefix(args, socket+","):
				stands = ""
			}
		}
		if socket == "" || stands != "" {
			t.Errorf("%s no reno before %s\n%s", p.ErrOut, stands, program.Trace(t, trace))
		}
	}
}

// A name that cannot be used is a usage error with those that can, before anything listens.
func TestCongestionRefused(t *testing.T) {
	const want = `zcp: --congestion nonesuch: the kernel does not have it \(available: .*\breno\b.*\)`
	for _, args := range [][]string{{"send", "zero:", ":0"}, {"relay", ":0", "localhost:1"}, {"relay", "-", "localhost:1"}} {
		p := program.Zcp(t, append([]string{args[0], "--congestion", "nonesuch"}, args[1:]...)...).Run(2)
		if got := p.ErrOut.String(); !regexp.MustCompile(want).MatchString(got) {
			t.Errorf("%v: %s", args, got)
		}
	}
}

// An inherited connection that is also standard input is shared with others: it keeps its own.
func TestCongestionShared(t *testing.T) {
	if !slices.Contains(congestions(t), "cubic") {
		t.Skip("NOT TESTED: this kernel has not loaded cubic")
	}
	ln, _ := program.Listening(t)
	c, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	far, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer far.Close()
	f, err := c.(*net.TCPConn).File()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := unix.SetsockoptString(int(f.Fd()), unix.IPPROTO_TCP, unix.TCP_CONGESTION, "bbr"); err != nil {
		t.Skipf("NOT TESTED: bbr: %v", err)
	}
	go func() {
		_, _ = io.Copy(io.Discard, far) // its end is the sender's to judge
		far.Close()
	}()
	p := program.Zcp(t, "send", "--explain", "-s", "1M", "-S", "zero:", "fd:0").From(f).Run(0)
	explained(t, p, `plan: congestion control bbr`)
	if name, err := unix.GetsockoptString(int(f.Fd()), unix.IPPROTO_TCP, unix.TCP_CONGESTION); name != "bbr" || err != nil {
		t.Errorf("the shared socket has %q now: %v", name, err)
	}
}
