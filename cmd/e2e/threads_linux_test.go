package e2e

import (
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/zcp-go/zcp/cmd/e2e/program"
)

// mostThreads is what the manual promises.
const mostThreads = 32

// TestProcessors: the program begins on one processor, and uses all that it is given, but no more than 8, when it
// goes on; a relay does so at once, for its loops. The runtime says how many there are (schedtrace in GODEBUG).
func TestProcessors(t *testing.T) {
	for given, most := range map[int]int{3: 3, 20: 8} {
		for name, args := range map[string][]string{"cat": {"cat"}, "relay": {"relay", "127.0.0.1:0", "127.0.0.1:1"}} {
			t.Run(fmt.Sprint(name, " ", given), func(t *testing.T) {
				r, w := io.Pipe()
				defer w.Close()
				p := program.Zcp(t, args...).From(r).With(fmt.Sprint("GOMAXPROCS=", given), "GODEBUG=schedtrace=1").Start()
				p.Says(fmt.Sprintf("gomaxprocs=%d (?s:.*)gomaxprocs=1 (?s:.*)gomaxprocs=%d ", given, most))
			})
		}
	}
}

// 60 clients that are silent at first take no thread each: a server whose user may have 40 processes serves
// all of them, and one on a host with many processors takes no more than the manual says.
func TestFewThreads(t *testing.T) {
	program.NeedRoot(t)
	program.NeedTool(t, "prlimit")
	const clients, size = 60, 100_000
	target := program.Target(t, "tcp", func(c net.Conn) {
		_, _ = io.Copy(io.Discard, c) // the client sees what comes of it
		c.Close()
	})
	for name, args := range map[string][]string{"recv": {"recv", "-k", ":0", "in-%d"}, "send": {"send", "-k", "f", ":0"}, "relay": {"relay", ":0", target}} {
		for _, processors := range []int{2, 64} {
			t.Run(fmt.Sprint(name, " ", processors), func(t *testing.T) {
				p, dir := asNobody(t, args...)
				if err := os.Chmod(dir, 0o777); err != nil {
					t.Fatal(err)
				}
				program.WriteFile(t, filepath.Join(dir, "f"), program.Noise(size, 1), 0o644)
				p.Args = append([]string{"prlimit", "--nproc=40", p.Path}, p.Args[1:]...)
				p.Path, _ = exec.LookPath("prlimit") // NeedTool has found it
				p.With(fmt.Sprint("GOMAXPROCS=", processors)).Start()
				var all []*net.TCPConn
				for range clients {
					all = append(all, program.Dial(t, p))
				}
				program.WaitFor(t, "all to wait", func() bool { return program.AllSleep(p.Process.Pid) })
				for i, c := range all {
					if name != "send" {
						program.Write(t, c, program.Noise(size, uint64(i)))
						if err := c.CloseWrite(); err != nil {
							t.Error(err)
						}
					}
					want := map[string]int64{"send": size}[name]
					if n, err := io.Copy(io.Discard, c); n != want || err != nil {
						t.Errorf("client %d: %d bytes, %v", i, n, err)
					}
					c.Close()
				}
				if tasks, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", p.Process.Pid)); err != nil || len(tasks) > mostThreads {
					t.Errorf("%d threads, %v", len(tasks), err)
				}
			})
		}
	}
}
