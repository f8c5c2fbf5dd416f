//go:build linux

package main

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// A table is a row of work, measured.
type table struct {
	row   row
	lines []line
}

// A line is what one tool needed. ratio is the median of its rounds' ratios to zcp, to
// the first binary where there are several, in the same round; 0 where that did not run.
type line struct {
	lap
	time  time.Duration
	ratio float64
	noisy bool       // the rounds' ratios, or zcp's times, lie too far apart to be quoted
	peak  int64      // bytes of memory a round took at most, the median
	cpu   [2]float64 // seconds for each 10^9 bytes, or ms for each command where count is set
}

// tabulate turns laps into lines, the fastest first.
func (b *bench) tabulate(r row, laps []*lap) table {
	tab := table{row: r}
	var zcp []result
	for _, l := range laps {
		if l.tool.ours == 1 {
			zcp = l.results
		}
	}
	for _, l := range laps {
		out := line{lap: *l}
		if len(l.results) > 0 {
			var walls []time.Duration
			var peaks []int64
			var ratios []float64
			var cpu [2][]float64
			for i, res := range l.results {
				walls, peaks = append(walls, res.wall), append(peaks, res.peak)
				if i < len(zcp) {
					ratios = append(ratios, float64(res.wall)/float64(zcp[i].wall))
				}
				for side := range cpu {
					cpu[side] = append(cpu[side], b.perUnit(r, res.cpu[side]))
				}
			}
			out.time, out.peak = median(walls), median(peaks)
			out.cpu = [2]float64{median(cpu[0]), median(cpu[1])}
			if len(ratios) > 0 {
				out.ratio, out.noisy = median(ratios), spread(ratios) > mostSpread || l.tool.ours == 1 && spread(walls) > mostSpread
			}
		}
		tab.lines = append(tab.lines, out)
	}
	slices.SortStableFunc(tab.lines, func(a, b line) int { // what did not run comes last
		return cmp.Compare(cmp.Or(a.time, math.MaxInt64), cmp.Or(b.time, math.MaxInt64))
	})
	return tab
}

// mostSpread is what rounds may differ by, as a part of their median, and still be quoted.
const mostSpread = 0.3

// spread returns the distance of the middle half of values, as a part of their median: one round
// that was disturbed says nothing of the others.
func spread[T ~int64 | ~float64](values []T) float64 {
	sorted := slices.Sorted(slices.Values(values))
	n := len(sorted)
	return float64(sorted[n-1-n/4]-sorted[n/4]) / float64(sorted[n/2])
}

// quoted returns a figure for a ratio, or that it cannot be quoted.
func (l line) quoted(digits int) string {
	if l.noisy {
		return "noisy"
	}
	return fmt.Sprintf("%.*f", digits, l.ratio)
}

// perUnit turns a round's processor time into seconds for each GB, or milliseconds for
// each command.
func (b *bench) perUnit(r row, cpu time.Duration) float64 {
	if r.count > 0 {
		return cpu.Seconds() * 1e3 / float64(r.count)
	}
	return cpu.Seconds() / (float64(cmp.Or(r.bytes, r.tree.bytes(), b.size)) / 1e9)
}

// markdown renders the table the way ripgrep's README does.
func (tab table) markdown() string {
	var s strings.Builder
	unit := "CPU s/GB"
	if tab.row.count > 0 {
		unit = "CPU ms each"
	}
	fmt.Fprintf(&s, "**%s** (%s)\n\n", tab.row.name, tab.row.about)
	fmt.Fprintf(&s, "| Tool | Command | Check | Time (ratio) | %s |\n| --- | --- | --- | --- | --- |\n", unit)
	for _, l := range tab.lines {
		name, command := l.tool.name, "`"+shown(l.tool.command)+"`"
		if l.tool.receiver != "" {
			command += ", `" + shown(l.tool.receiver) + "`"
		}
		if l.tool.ours > 0 {
			name = "**" + name + "**"
		}
		figures := "| |"
		if len(l.results) > 0 {
			cpu := fmt.Sprintf("%.3g", l.cpu[0])
			if l.tool.receiver != "" {
				cpu += fmt.Sprintf(" + %.3g", l.cpu[1])
			}
			if tab.row.held > 0 {
				cpu += fmt.Sprintf(", %.1f KiB a connection", float64(l.peak)/1024/float64(tab.row.held))
			}
			figures = fmt.Sprintf("%.3f s (%s) | %s |", l.time.Seconds(), l.quoted(2), cpu)
		}
		// A pipe inside a cell would end it.
		fmt.Fprintf(&s, "| %s | %s | %s | %s\n", name, strings.ReplaceAll(command, "|", `\|`), l.check, figures)
	}
	return s.String()
}

// report returns everything: where and when, a summary, and each table.
func (b *bench) report() string {
	var s strings.Builder
	fmt.Fprintf(&s, "Made by `.ci/tables bench` on %s\n", machine())
	fmt.Fprintf(&s, "with %s; %.1f GiB, page cache hot, files on %s, loopback, %d rounds in turn,\n"+
		"congestion control as the row says, governor %s, memory touched before each file is written.\n"+
		"Noisy: the middle half of the rounds lies more than %.0f %% apart.\n\n",
		strings.Join(b.versions(), ", "), float64(b.size)/(1<<30), b.fileSystem(), b.rounds, governor(), 100*mostSpread)
	if missing := slices.Sorted(maps.Keys(b.missing)); len(missing) > 0 {
		fmt.Fprintf(&s, "Not installed, so not raced: %s.\n\n", strings.Join(missing, ", "))
	}
	s.WriteString(b.summaryHead())
	for _, tab := range b.tables {
		s.WriteString(b.summary(tab))
	}
	s.WriteString("\n<details><summary>All contenders and their exact commands</summary>\n")
	for _, tab := range b.tables {
		s.WriteString("\n" + tab.markdown())
	}
	s.WriteString("\n</details>\n")
	return s.String()
}

// summaryHead returns the summary's first two lines: a column for each binary of zcp, for
// each but the first its time as a part of the first's, and the fastest other tool.
func (b *bench) summaryHead() string {
	heads := []string{"Work"}
	for i, one := range b.zcp {
		if heads = append(heads, one.name); i > 0 {
			heads = append(heads, fmt.Sprintf("%s / %s", one.name, b.zcp[0].name))
		}
	}
	if !b.alone {
		heads = append(heads, "the fastest other tool", "its time / "+b.zcp[0].name+"'s")
	}
	return "| " + strings.Join(heads, " | ") + " |\n|" + strings.Repeat(" --- |", len(heads)) + "\n"
}

// summary returns the table's line in the summary. The kernel's bare paths are not a tool.
func (b *bench) summary(tab table) string {
	cells := []string{tab.row.name}
	for i := range b.zcp {
		at := slices.IndexFunc(tab.lines, func(l line) bool { return l.tool.ours == i+1 && len(l.results) > 0 })
		if at < 0 {
			return ""
		}
		if cells = append(cells, fmt.Sprintf("%.3f s", tab.lines[at].time.Seconds())); i > 0 {
			cells = append(cells, tab.lines[at].quoted(3))
		}
	}
	if !b.alone {
		at := slices.IndexFunc(tab.lines, func(l line) bool { return l.tool.ours == 0 && !l.tool.kernel() && len(l.results) > 0 })
		if at < 0 {
			return ""
		}
		best := tab.lines[at]
		cells = append(cells, fmt.Sprintf("%s: %.3f s", best.tool.name, best.time.Seconds()), best.quoted(2))
	}
	return "| " + strings.Join(cells, " | ") + " |\n"
}

// machine describes where and when this runs.
func machine() string {
	model := "unknown processor"
	text, _ := os.ReadFile("/proc/cpuinfo")
	if m := regexp.MustCompile(`(?m)^model name\s*: (.*)$`).FindSubmatch(text); m != nil {
		model = string(m[1])
	}
	var uts unix.Utsname
	_ = unix.Uname(&uts) // leaves the release empty
	return fmt.Sprintf("%s, %s, %d processors, Linux %s, %s, %s",
		time.Now().Format(time.DateOnly), model, runtime.NumCPU(), unix.ByteSliceToString(uts.Release[:]),
		runtime.GOARCH, runtime.Version())
}

// versions returns the peers that are installed with what they say of themselves.
func (b *bench) versions() []string {
	var asks [][]string
	for _, one := range b.zcp {
		asks = append(asks, []string{one.link(), "--version"})
	}
	asks = append(asks, [][]string{
		{"nc.openbsd", "-h"}, {"ncat", "--version"}, {"socat", "-V"}, {"pv", "-V"}, {"cat", "--version"},
		{"mbuffer", "-V"}, {"tar", "--version"}, {"rsync", "--version"}, {"croc", "--version"}, {"haproxy", "-v"}, {"nginx", "-v"}, {"systemd-socket-proxyd", "--version"},
	}...)
	number := regexp.MustCompile(`\(devel\)|\d+(\.\d+)+(-[\w.]+)?|R\d+|systemd \d+`)
	var all []string
	for _, ask := range asks {
		if b.alone && !strings.HasPrefix(ask[0], "zcp") {
			continue
		}
		// The usage of some ends with a status that is not 0.
		text, _ := exec.Command(ask[0], ask[1:]...).CombinedOutput()
		if version := number.Find(text); version != nil {
			all = append(all, fmt.Sprintf("%s %s", ask[0], version))
		}
	}
	return all
}
