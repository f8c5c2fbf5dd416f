package faults

import (
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/zcp-go/zcp/cmd/e2e/program"
)

// TestRelayCallsOfShortConnections counts the system calls of the relay for connections on which 64 bytes go there
// and back, in the mean of many: what waits (epoll, futex) is left out, and so is the congestion control of a
// host that paces. "go test -v -run TestRelayCalls ./cmd/e2e/faults" shows them.
func TestRelayCallsOfShortConnections(t *testing.T) {
	program.NeedTool(t, "strace")
	const conns = 100
	most := map[string]float64{"socket": 1, "connect": 2, "setsockopt": 2, "getsockname": 1, "epoll_ctl": 3, "read": 4, "write": 2, "ioctl": 1, "shutdown": 1, "close": 2}
	target := program.Target(t, "tcp", func(c net.Conn) {
		_, _ = io.Copy(c, c) // the client sees what comes back
		c.Close()
	})
	trace := filepath.Join(t.TempDir(), "trace")
	p := program.Zcp(t, "relay", "127.0.0.1:0", target)
	p.Args = append([]string{"strace", "-f", "-qq", "-o", trace, "-e", "signal=none", p.Path}, p.Args[1:]...)
	p.Path, _ = exec.LookPath("strace") // NeedTool has found it
	p.Start()
	talk := func() {
		c := program.Dial(t, p)
		defer c.Close()
		program.Write(t, c, program.Noise(64, 1))
		program.ReadN(t, c, 64)
		if err := c.CloseWrite(); err != nil {
			t.Error(err)
		}
		if n, err := io.Copy(io.Discard, c); n != 0 || err != nil {
			t.Error(n, err)
		}
	}
	talk()
	before := calls(t, trace)
	for range conns {
		talk()
	}
	for name, n := range calls(t, trace) {
		each := float64(n-before[name]) / conns
		t.Logf("%-12s %.2f", name, each)
		if limit, counted := most[name]; counted && each > limit+0.1 {
			t.Errorf("%s: %.2f for each connection, not %.0f", name, each, limit)
		}
	}
}

var callLine = regexp.MustCompile(`(?m)^\d+ +(\w+)\((.*)$`)

// calls counts the calls in a trace by their names.
func calls(t *testing.T, trace string) map[string]int {
	t.Helper()
	b, err := os.ReadFile(trace)
	if err != nil {
		t.Fatal(err)
	}
	sum := map[string]int{}
	for _, m := range callLine.FindAllStringSubmatch(string(b), -1) {
		if !strings.Contains(m[2], "TCP_CONGESTION") {
			sum[m[1]]++
		}
	}
	return sum
}
