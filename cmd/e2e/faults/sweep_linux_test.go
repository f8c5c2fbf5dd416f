package faults

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/zcp-go/zcp/cmd/e2e/program"
)

// TestSweep refuses each call that can be done without, with the errnos that kernels, containers and file
// systems have for that, to each command, and to each end of a transfer at once, and prints the table (-v): call,
// errnos, command, what happened. All bytes arrive and the status is 0. Calls of sockets have a table of their own
// (TestSocketCallsRefused), and what -v has to say stands in TestOptionalCallsRefused. Unless all are wanted
// ([program.All]), each call is refused to every command with one errno, to the ends of a transfer at once.
func TestSweep(t *testing.T) {
	content := program.Noise(600_000, 41)
	errnos := []string{"EPERM", "EINVAL", "ENOSYS", "EOPNOTSUPP", "ENOTTY"}
	var mu sync.Mutex
	table := map[string][]string{} // the errnos of each call, command and verdict
	t.Run("refuse", func(t *testing.T) {
		for i, call := range program.RefusableOfAll {
			for j, errno := range errnos {
				for _, command := range []string{"send", "recv", "relay", "cat", "each"} {
					if !program.All() && ((command != "cat" && command != "each") || j != i%len(errnos)) {
						continue
					}
					t.Run(call+"/"+errno+"/"+command, func(t *testing.T) {
						t.Parallel()
						row := fmt.Sprintf("%-16s %-6s %s", call, command, sweep(t, command, program.RefuseVariable+"="+errno+":"+call, content))
						mu.Lock()
						defer mu.Unlock()
						table[row] = append(table[row], errno)
					})
				}
			}
		}
	})
	var rows []string
	for row, errnos := range table {
		slices.Sort(errnos)
		rows = append(rows, row+" ("+strings.Join(errnos, " ")+")")
	}
	slices.Sort(rows)
	t.Logf("call, command, what happened, errnos\n%s", strings.Join(rows, "\n"))
}

// sweep runs one command under a refusal and says what became of it.
func sweep(t *testing.T, command, refuse string, content []byte) string {
	dir := newWork(t, content)
	start := func(args ...string) *program.Process {
		p := program.Zcp(t, args...)
		if args[0] == command || command == "each" {
			p = p.With(refuse)
		}
		return p.Start()
	}
	var under []*program.Process
	if command == "cat" {
		under = append(under, start("cat", "-v", "--hash", "sha256", dir+"/in", "-o", dir+"/out").Ends(0))
	} else {
		r := start("recv", "-v", "-l", "127.0.0.1:0", dir+"/out")
		y := start("relay", "-v", "127.0.0.1:0", "127.0.0.1:"+r.Port())
		s := start("send", "-v", dir+"/in", "127.0.0.1:"+y.Port()).Ends(0)
		r.Ends(0)
		for _, p := range []*program.Process{s, r, y} {
			if p.Args[1] == command || command == "each" {
				under = append(under, p)
			}
		}
	}
	program.Holds(t, dir+"/out", content)
	if _, err := os.Stat(dir + "/out.part"); err == nil {
		t.Error("out.part is left")
	}
	for _, p := range under {
		for _, said := range []string{"cannot be kept", "no locks", "refused"} {
			if strings.Contains(p.ErrOut.String(), said) {
				return "works, said with -v"
			}
		}
	}
	return "works as before"
}
