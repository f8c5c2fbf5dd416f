//go:build linux

package main

import (
	"cmp"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestRaceAgainstPeers makes the tables of the README's benchmarks:
//
//	ZCP_BENCH=1 go test -run TestRaceAgainstPeers -v -timeout 60m .
//
// Each row is one kind of work. In a first round that is not timed everything that
// arrives is compared with what was sent; then the contenders run in turn, round after
// round, because machines drift, and what counts is the median of each round's ratio to
// zcp. The far ends are part of this test, so that they are the same for everyone and
// cost as little as the kernel allows. Peers that are not installed are named.
//
//	ZCP_BENCH_SIZE    bytes for the bulk rows (default 536870912: a virtual machine's host may take
//	                  back freed memory, and its first touch would cost more than all that is measured)
//	ZCP_BENCH_ROUNDS  timed rounds (default 9)
//	ZCP_BENCH_DIR     where the files lie (default: a temporary folder)
//	ZCP_BENCH_OUT     a file that gets the tables too
//	ZCP_BIN           a zcp to race instead of building one
//	ZCP_LIM           a program with the kernel's paths and nothing around them, raced too
func TestRaceAgainstPeers(t *testing.T) {
	if os.Getenv("ZCP_BENCH") == "" {
		t.Skip("a benchmark: set ZCP_BENCH=1 to run it")
	}
	b := newBench(t)
	for _, r := range b.rows() {
		t.Run(r.name, func(t *testing.T) { b.race(t, r) })
	}
	report := b.report()
	fmt.Print(report)
	if out := os.Getenv("ZCP_BENCH_OUT"); out != "" {
		if err := os.WriteFile(out, []byte(report), 0o644); err != nil {
			t.Error(err)
		}
	}
}

// A bench is one run of the whole benchmark.
type bench struct {
	dir     string // working folder of every command; holds the file "data"
	size    int64  // bytes of data
	sum     uint32 // CRC-32C of data
	block   []byte // what the pipe writers write over and over
	blocks  uint32 // CRC-32C of size bytes of it
	rounds  int
	env     []string
	tables  []table
	missing map[string]bool // programs that are not installed
}

// A row is one kind of work and those who can do it.
type row struct {
	name  string
	about string // what the far ends are
	in    bool   // standard input is a pipe that somebody writes to
	out   outEnd // what reads standard output
	net   netEnd // what is at the other side of PORT
	relay load   // relays: what goes through them
	count int    // 0, or pieces of work a round, for work too short to time alone
	small bool   // send the file "small" instead
	tools []tool
}

// A tool is a contender. Its commands are run by sh in the working folder; PORT, and for
// relays BACK, stand for port numbers, and COPY for a file that must not be there yet.
type tool struct {
	name     string
	command  string
	receiver string   // rows with two commands: the one that listens, started first
	needs    []string // programs, beside the first word of command
	setup    func(dir string, port, back int) error
}

type outEnd int

const (
	noOut outEnd = iota
	spliceOut
	readOut
)

type netEnd int

const (
	noNet       netEnd = iota
	netSink            // the test listens on PORT and discards
	netSource          // the command listens on PORT and the test sends data
	netReceiver        // the tool's own receiver listens on PORT
)

// A result is what one run of a tool cost. cpu counts user and system time of the
// command, and of the receiver where a row has two.
type result struct {
	wall time.Duration
	cpu  [2]time.Duration
}

// A lap is one contender's row of figures.
type lap struct {
	tool    tool
	check   string
	results []result
}

func newBench(t *testing.T) *bench {
	t.Helper()
	b := &bench{
		size:    envInt(t, "ZCP_BENCH_SIZE", 512<<20),
		rounds:  int(envInt(t, "ZCP_BENCH_ROUNDS", 9)),
		dir:     t.TempDir(),
		missing: map[string]bool{},
	}
	if dir := os.Getenv("ZCP_BENCH_DIR"); dir != "" {
		var err error
		if b.dir, err = os.MkdirTemp(dir, "zcp-bench"); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { os.RemoveAll(b.dir) })
	}
	bin := filepath.Join(b.dir, "bin")
	if err := os.Mkdir(bin, 0o755); err != nil {
		t.Fatal(err)
	}
	links := map[string]string{"zcp": zcpBinary(t)}
	if lim := os.Getenv("ZCP_LIM"); lim != "" {
		links["lim"] = lim
	}
	for name, target := range links {
		if err := os.Symlink(target, filepath.Join(bin, name)); err != nil {
			t.Fatal(err)
		}
	}
	path := strings.Join([]string{bin, os.Getenv("PATH"), "/usr/sbin", "/usr/lib/systemd", "/lib/systemd"}, ":")
	t.Setenv("PATH", path)
	b.env = os.Environ()
	b.makeData(t)
	return b
}

func envInt(t *testing.T, name string, value int64) int64 {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return value
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 1 {
		t.Fatalf("%s=%q: want a number above 0", name, text)
	}
	return n
}

// contenders returns the tools of a row that are installed.
func (b *bench) contenders(r row) []tool {
	var here []tool
	for _, tool := range r.tools {
		missing := false
		for _, program := range append([]string{strings.Fields(tool.command)[0]}, tool.needs...) {
			if _, err := exec.LookPath(program); err != nil {
				missing = true
				if program != "lim" {
					b.missing[program] = true
				}
			}
		}
		if !missing {
			here = append(here, tool)
		}
	}
	return here
}

// race runs a row: once to check, then round by round, each round beginning with another
// contender.
func (b *bench) race(t *testing.T, r row) {
	var laps []*lap
	for _, tool := range b.contenders(r) {
		l := &lap{tool: tool, check: "identical"}
		if _, err := b.run(r, tool, true); err != nil {
			// A peer that fails is a line of the table; zcp must not.
			if tool.name == "zcp" {
				t.Errorf("%s: %v", tool.command, err)
			}
			l.check = "FAILED: " + err.Error()
		}
		laps = append(laps, l)
	}
	for round := range b.rounds {
		for i := range laps {
			l := laps[(i+round)%len(laps)]
			if l.check != "identical" {
				continue
			}
			res, err := b.run(r, l.tool, false)
			if err != nil {
				t.Errorf("%s: %v", l.tool.command, err)
				l.check = "FAILED: " + err.Error()
				continue
			}
			l.results = append(l.results, res)
		}
	}
	tab := b.tabulate(r, laps)
	b.tables = append(b.tables, tab)
	t.Logf("\n%s", tab.markdown())
}

// median returns the middle of values, of which there is at least one.
func median[T cmp.Ordered](values []T) T {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)/2]
}
