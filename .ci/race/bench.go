//go:build linux

package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/zcp-go/zcp/cmd/e2e/program"
)

// raceAll runs the rows that are asked for and returns the report.
//
// Each row is one kind of work. In a first round that is not timed everything that
// arrives is compared with what was sent; then the contenders run in turn, round after
// round, because machines drift, and what counts is the median of each round's ratio to
// zcp. The far ends are part of this program, so that they are the same for every tool and
// cost as little as the kernel allows. Peers that are not installed are named.
func (b *bench) raceAll() string {
	for _, r := range rows() {
		if b.wanted(r.name) && b.ctx.Err() == nil {
			b.raceUnder(r)
		}
	}
	return b.report()
}

// rowNames returns the names of the rows.
func rowNames() (names []string) {
	for _, r := range rows() {
		names = append(names, r.name)
	}
	return names
}

// A bench is one run of the program.
type bench struct {
	settings
	ctx     context.Context // ends with the first signal that asks for it
	work    string          // working folder of every command; holds the file "data"
	sum     uint32          // CRC-32C of data
	block   []byte          // what the pipe writers write over and over
	blocks  uint32          // CRC-32C of size bytes of it
	env     []string
	tables  []table
	missing map[string]bool // programs that are not installed
	wrongs  int             // what zcp did not do as it has to, and what went wrong here
}

// A row is one kind of work and the tools that can do it.
type row struct {
	name  string
	about string // what the far ends are
	in    bool   // standard input is a pipe with a writer
	out   outEnd // what reads standard output
	net   netEnd // what is at the other side of PORT
	sinks int    // netSink: how many connections the far end takes, each of which gets everything; 0: one
	relay load   // relays: what goes through them
	warm  bool   // relays: a connection passes before the clock runs, which leaves the start out
	count int    // 0, or pieces of work a round, for work too short to time alone
	small bool   // send the file "small" instead
	tree  *forest
	bytes int64 // 0, or what passes in a round, where that is not the size of the data
	held  int   // 0, or connections that are held at once, for memory a connection
	tools []tool
}

// A tool is a contender. Its commands are run by sh in the working folder; PORT, and for
// relays BACK, stand for port numbers, and COPY for a file that must not be there yet.
type tool struct {
	name     string // "zcp" stands for each binary that is raced
	ours     int    // 1 and up: which of these it is
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
	netSpin            // the same, but it reads all bytes and never sleeps
	netSource          // the command listens on PORT and the test sends data
	netReceiver        // the tool's own receiver listens on PORT
)

// A result is what one run of a tool cost. cpu counts user and system time of the
// command, and of the receiver where a row has two.
type result struct {
	wall time.Duration
	cpu  [2]time.Duration
	peak int64 // bytes of memory at most, over what it had before the load; relays with held
}

// A lap is one contender's row of figures.
type lap struct {
	tool    tool
	check   string
	results []result
}

// newBench makes the working folder, with the data and links to the binaries, and puts
// these into PATH.
func newBench(ctx context.Context, s settings) (b *bench, err error) {
	b = &bench{settings: s, ctx: ctx, missing: map[string]bool{}}
	if b.work, err = os.MkdirTemp(s.dir, "zcp-race"); err != nil {
		return nil, err
	}
	if b.work, err = filepath.Abs(b.work); err != nil { // commands run in it
		return nil, err
	}
	work := b.work
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(work))
		}
	}()
	bin := filepath.Join(b.work, "bin")
	if err := os.Mkdir(bin, 0o755); err != nil {
		return nil, err
	}
	if len(b.zcp) == 0 {
		b.zcp = []binary{{"zcp", filepath.Join(b.work, "built")}}
		if err := program.Build(ctx, b.zcp[0].path); err != nil {
			return nil, err
		}
	}
	links := map[string]string{}
	for _, one := range b.zcp {
		links[one.link()] = one.path
	}
	if s.lim != "" {
		if links["lim"], err = filepath.Abs(s.lim); err != nil {
			return nil, err
		}
	}
	for name, target := range links {
		if _, err := exec.LookPath(target); err != nil {
			return nil, err
		}
		if err := os.Symlink(target, filepath.Join(bin, name)); err != nil {
			return nil, err
		}
	}
	path := strings.Join([]string{bin, os.Getenv("PATH"), "/usr/sbin", "/usr/lib/systemd", "/lib/systemd"}, ":")
	if err := os.Setenv("PATH", path); err != nil {
		return nil, err
	}
	b.env = os.Environ()
	return b, b.makeData()
}

// close removes the working folder.
func (b *bench) close() error { return os.RemoveAll(b.work) }

// wrong says what went wrong, now and by the exit status. What fails because a signal ended
// it is not wrong.
func (b *bench) wrong(format string, args ...any) {
	if b.ctx.Err() != nil {
		return
	}
	b.wrongs++
	fmt.Fprintf(os.Stderr, "WRONG: "+format+"\n", args...)
}

// contenders returns the tools of a row that are installed, and each binary of zcp.
func (b *bench) contenders(r row) []tool {
	var here []tool
	for _, tl := range r.tools {
		switch {
		case tl.name == "zcp":
			for i, one := range b.zcp {
				ours := tl
				ours.name, ours.ours = one.name, i+1
				ours.command, ours.receiver = one.command(tl.command), one.command(tl.receiver)
				here = append(here, ours)
			}
		case b.alone && !tl.kernel() || !b.hasAll(tl):
		default:
			here = append(here, tl)
		}
	}
	return here
}

// kernel reports whether this is not a tool but the bare system calls.
func (tl tool) kernel() bool { return strings.HasPrefix(tl.name, "kernel: ") }

// hasAll reports whether a tool's programs are installed, and notes those that are not.
func (b *bench) hasAll(tl tool) bool {
	all := true
	for _, name := range append([]string{strings.Fields(tl.command)[0]}, tl.needs...) {
		if !installed(name) {
			all = false
			if name != "lim" {
				b.missing[name] = true
			}
		}
	}
	return all
}

// race runs a row: once to check, then round by round, each round beginning with another
// contender.
func (b *bench) race(r row) {
	var laps []*lap
	for _, tl := range b.contenders(r) {
		l := &lap{tool: tl, check: "identical"}
		if _, err := b.run(r, tl, true); err != nil {
			// A peer that fails is a line of the table; zcp must not.
			if tl.ours > 0 {
				b.wrong("%s: %v", tl.command, err)
			}
			l.check = "FAILED: " + err.Error()
		}
		laps = append(laps, l)
	}
	for round := range b.rounds {
		for i := range laps {
			l := laps[(i+round)%len(laps)]
			if l.check != "identical" || b.ctx.Err() != nil {
				continue
			}
			res, err := b.run(r, l.tool, false)
			if err != nil {
				b.wrong("%s: %v", l.tool.command, err)
				l.check = "FAILED: " + err.Error()
				continue
			}
			l.results = append(l.results, res)
		}
	}
	tab := b.tabulate(r, laps)
	b.tables = append(b.tables, tab)
	fmt.Fprintf(os.Stderr, "\n%s", tab.markdown())
}

// median returns the middle of values, of which there is at least one.
func median[T cmp.Ordered](values []T) T {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)/2]
}
