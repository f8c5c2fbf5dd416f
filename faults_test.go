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
	"testing"
	"time"
)

// TestFaultsAgainstPeers makes the README's tables of faults: the same fault for every
// tool, and what its exit status and its last words make of it.
//
//	ZCP_FAULTS=1 go test -run TestFaultsAgainstPeers -v -timeout 20m .
//
// ZCP_FAULTS_OUT is a file that gets the tables too; ZCP_BIN a zcp to use instead of
// building one. What zcp does is not only shown but has to be right.
func TestFaultsAgainstPeers(t *testing.T) {
	if os.Getenv("ZCP_FAULTS") == "" {
		t.Skip("it compares tools that may not be there: set ZCP_FAULTS=1 to run it")
	}
	b := newFaultBench(t)
	var report strings.Builder
	fmt.Fprintf(&report, "Made by `.ci/tables faults` on %s\nwith %s. A number is the exit status.\n", machine(), strings.Join(b.versions(), ", "))
	for _, sheet := range []struct {
		title  string
		tools  []string
		faults []fault
	}{
		{"A transfer", []string{"zcp", "nc", "ncat", "socat", "mbuffer", "pv"}, slices.Concat(senderFaults(), receiverFaults(), pipeFaults())},
		{"A relay", []string{"zcp", "haproxy", "nginx", "socket-proxyd", "socat"}, relayFaults()},
	} {
		fmt.Fprintf(&report, "\n| %s | %s |\n|%s\n", sheet.title, strings.Join(sheet.tools, " | "), strings.Repeat(" --- |", len(sheet.tools)+1))
		for _, f := range sheet.faults {
			fmt.Fprintf(&report, "| %s |", f.name)
			for _, tool := range sheet.tools {
				fmt.Fprintf(&report, " %s |", b.try(t, f, tool))
			}
			report.WriteString("\n")
		}
	}
	fmt.Print(report.String())
	if out := os.Getenv("ZCP_FAULTS_OUT"); out != "" {
		if err := os.WriteFile(out, []byte(report.String()), 0o644); err != nil {
			t.Error(err)
		}
	}
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

// newFaultBench makes a small bench: 8 MiB of data and no rounds.
func newFaultBench(t *testing.T) *bench {
	t.Helper()
	t.Setenv("ZCP_BENCH_SIZE", "8388608")
	return newBench(t)
}

// try runs a fault with one tool and returns the table's cell.
func (b *bench) try(t *testing.T, f fault, tool string) string {
	t.Helper()
	command, ok := f.commands[tool]
	if !ok {
		return ""
	}
	for _, word := range []string{command, strings.TrimPrefix(command, "systemd-socket-activate -l 127.0.0.1:PORT ")} {
		if program := strings.Fields(word)[0]; !installed(program) {
			t.Logf("NOT TESTED: %s is not installed", program)
			return "?"
		}
	}
	c, err := f.run(b, command)
	if err != nil {
		t.Errorf("%s, %s: %v", f.name, command, err)
		return "?"
	}
	t.Logf("%s: %s: %s", f.name, command, c)
	if tool == "zcp" && !f.right(c) {
		t.Errorf("%s: zcp makes of it: %s", f.name, c)
	}
	return c.String()
}

func installed(program string) bool {
	_, err := exec.LookPath(program)
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
		info, err := os.Stat(filepath.Join(b.dir, name))
		if err != nil {
			continue
		}
		os.Remove(filepath.Join(b.dir, name))
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
