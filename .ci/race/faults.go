//go:build linux

package main

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// sheets are the tables of faults, each with its tools.
func sheets() []sheet {
	return []sheet{
		{"A transfer", []string{"zcp", "nc", "ncat", "socat", "mbuffer", "pv"}, slices.Concat(senderFaults(), wireFaults(), receiverFaults(), systemFaults(), pipeFaults())},
		{"A tree", []string{"zcp", "tar and nc", "rsync", "croc"}, treeFaults()},
		{"A relay", []string{"zcp", "haproxy", "nginx", "socket-proxyd", "socat"}, relayFaults()},
	}
}

// A sheet is a table of faults: a row for each, a column for each tool.
type sheet struct {
	title  string
	tools  []string // "zcp" stands for each binary that is tried
	faults []fault
}

// faultNames returns the names of the faults.
func faultNames() (names []string) {
	for _, s := range sheets() {
		for _, f := range s.faults {
			names = append(names, f.name)
		}
	}
	return names
}

// tryAll makes the tables of the faults that are asked for: the same fault for every tool,
// and what its exit status and its last words make of it. What zcp does is not only shown
// but has to be right.
func (b *bench) tryAll() string {
	var report strings.Builder
	fmt.Fprintf(&report, "Made by `.ci/tables faults` on %s\nwith %s. A number is the exit status.\n", machine(), strings.Join(b.versions(), ", "))
	for _, s := range sheets() {
		faults := slices.DeleteFunc(s.faults, func(f fault) bool { return !b.wanted(f.name) })
		if len(faults) == 0 {
			continue
		}
		columns := b.columns(s.tools)
		fmt.Fprintf(&report, "\n| %s |", s.title)
		for _, c := range columns {
			fmt.Fprintf(&report, " %s |", c.name)
		}
		fmt.Fprintf(&report, "\n|%s\n", strings.Repeat(" --- |", len(columns)+1))
		for _, f := range faults {
			fmt.Fprintf(&report, "| %s |", f.name)
			for _, c := range columns {
				fmt.Fprintf(&report, " %s |", b.try(f, c))
			}
			report.WriteString("\n")
		}
	}
	return report.String()
}

// A column is a tool of a sheet, or a binary of zcp.
type column struct {
	name, tool string
	zcp        *binary
}

func (b *bench) columns(tools []string) (all []column) {
	for _, tool := range tools {
		if tool == "zcp" {
			for i := range b.zcp {
				all = append(all, column{b.zcp[i].name, tool, &b.zcp[i]})
			}
		} else if !b.alone {
			all = append(all, column{tool, tool, nil})
		}
	}
	return all
}

// A fault is something that goes wrong around a tool.
type fault struct {
	name string
	// commands holds each tool's command; tools that have none do not do this work.
	commands map[string]string
	// run does the work with one command and returns the cell of the table.
	run func(b *bench, command string) (cell, error)
	// right says whether this is what zcp has to do.
	right func(c cell) bool
}

// A cell is what a tool made of a fault.
type cell struct {
	status  int    // exit status, 128 + N for signal N
	said    bool   // something on standard error
	note    string // what happened to the bytes
	noState bool   // a relay has no exit status to show
}

func (c cell) String() string {
	var parts []string
	if !c.noState {
		word := "silent"
		if c.said {
			word = "told"
		}
		parts = append(parts, fmt.Sprintf("%d, %s", c.status, word))
	}
	if c.note != "" {
		parts = append(parts, c.note)
	}
	return strings.Join(parts, "; ")
}

// try runs a fault with one tool and returns the table's cell.
func (b *bench) try(f fault, in column) string {
	command, ok := f.commands[in.tool]
	if !ok || b.ctx.Err() != nil {
		return ""
	}
	if in.zcp != nil {
		command = in.zcp.command(command)
	}
	for _, word := range []string{command, strings.TrimPrefix(command, "systemd-socket-activate -l 127.0.0.1:PORT ")} {
		if name := strings.Fields(word)[0]; !installed(name) {
			fmt.Fprintf(os.Stderr, "NOT TESTED: %s is not installed\n", name)
			return "?"
		}
	}
	c, err := f.run(b, command)
	if err != nil {
		b.wrong("%s, %s: %v", f.name, command, err)
		return "?"
	}
	fmt.Fprintf(os.Stderr, "%s: %s: %s\n", f.name, strings.ReplaceAll(command, "\x00", ""), c)
	if in.zcp != nil && !f.right(c) {
		b.wrong("%s: %s makes of it: %s", f.name, in.name, c)
	}
	return c.String()
}

// installed reports whether a program is in PATH.
func installed(name string) bool {
	_, err := exec.LookPath(name)
	return err == nil
}

// outcome waits for a process and returns its status and whether it spoke. A process that
// does not end within limit is killed, and that is what the cell says.
func (p *process) outcome(limit time.Duration) cell {
	late := time.AfterFunc(limit, func() { _ = p.cmd.Process.Kill() }) // it may have ended by itself
	err := p.cmd.Wait()
	c := cell{status: p.cmd.ProcessState.ExitCode(), said: p.stderr.Len() > 0}
	if !late.Stop() {
		c.note, c.noState = fmt.Sprintf("waits for ever (%v)", limit), true
		return c
	}
	if ee, ok := errors.AsType[*exec.ExitError](err); ok {
		if state := ee.Sys().(syscall.WaitStatus); state.Signaled() {
			c.status = 128 + int(state.Signal())
		}
	}
	return c
}

// arrival says how much of size bytes there is in a file of the working folder, and under
// which name.
func (b *bench) arrival(size int64) string {
	names := map[string]string{"copy": "", "copy.part": " as copy.part"}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		info, err := os.Stat(filepath.Join(b.work, name))
		if err != nil {
			continue
		}
		os.Remove(filepath.Join(b.work, name))
		if info.Size() == size {
			return "all of it" + names[name]
		}
		return fmt.Sprintf("%d %% of it%s", info.Size()*100/size, names[name])
	}
	return "no file"
}

// readSome reads n bytes from r and no more.
func readSome(r io.Reader, n int64) error {
	_, err := io.CopyN(io.Discard, r, n)
	return err
}
