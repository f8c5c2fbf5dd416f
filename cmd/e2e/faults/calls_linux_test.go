package faults

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

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

// TestRangeCalls counts the system calls with which a relay of two loops opens each listener of a range: there may be
// thousands, and each call of theirs is one of the start. "go test -v -run TestRangeCalls ./cmd/e2e/faults" shows them.
func TestRangeCalls(t *testing.T) {
	program.NeedTool(t, "strace")
	const ports = 1000
	for host, most := range map[string]map[string]float64{
		"127.31.7.3": {"socket": 1, "setsockopt": 3, "bind": 1, "listen": 1, "epoll_ctl": 2},
		"":           {"socket": 1, "setsockopt": 4, "getsockopt": 1, "bind": 1, "listen": 1, "epoll_ctl": 2}, // IPV6_V6ONLY
	} {
		t.Run(cmp.Or(host, "all addresses"), func(t *testing.T) {
			first := program.FreeRange(t, host, ports)
			trace := filepath.Join(t.TempDir(), "trace")
			p := program.Zcp(t, "relay", "-v", fmt.Sprintf("%s:%d-%d", host, first, first+ports-1), "127.0.0.1:1").With("GOMAXPROCS=2")
			p.Args = append([]string{"strace", "-f", "-qq", "-o", trace, "-e", "signal=none", p.Path}, p.Args[1:]...)
			p.Path, _ = exec.LookPath("strace") // NeedTool has found it
			p.Start()
			last := net.JoinHostPort(cmp.Or(host, "127.0.0.1"), strconv.Itoa(first+ports-1))
			program.WaitFor(t, "the last port", func() bool {
				c, err := net.Dial("tcp", last)
				if err == nil {
					c.Close()
				} else if !errors.Is(err, unix.ECONNREFUSED) || p.HasEnded() {
					t.Fatal(err)
				}
				return err == nil
			})
			p.Says("cannot reach") // it accepts
			program.WaitFor(t, "both loops to have all listeners", func() bool {
				b, err := os.ReadFile(trace)
				return err == nil && bytes.Count(b, []byte(" epoll_ctl(")) >= 2*ports
			})
			for name, n := range calls(t, trace) {
				each := float64(n) / ports
				if t.Logf("%-12s %.2f", name, each); waiting[name] {
					continue
				}
				if each > most[name]+0.2 {
					t.Errorf("%s: %.2f for each listener, not %.0f", name, each, most[name])
				}
			}
		})
	}
}

// waiting are the calls of the runtime, which are as many as the time is long.
var waiting = map[string]bool{"futex": true, "nanosleep": true, "epoll_pwait": true, "epoll_pwait2": true, "rt_sigreturn": true, "tgkill": true, "getpid": true, "sched_yield": true}

var callLine = regexp.MustCompile(`(?m)^\d+ +(\w+)\((.*)$`)

// calls counts the calls in a trace by their names.
func calls(t *testing.T, trace string) map[string]int {
	t.Helper()
	sum := map[string]int{}
	for _, m := range callLine.FindAllStringSubmatch(program.Trace(t, trace), -1) {
		if !strings.Contains(m[2], "TCP_CONGESTION") {
			sum[m[1]]++
		}
	}
	return sum
}
