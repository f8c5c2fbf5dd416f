package main

import (
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestStatusSignal: SIGUSR1 is answered by a line, also with -q, in every command, while it
// waits for somebody and while bytes should move; and it ends nothing.
func TestStatusSignal(t *testing.T) {
	fifo := func(t *testing.T) string {
		name := filepath.Join(t.TempDir(), "fifo")
		if err := unix.Mkfifo(name, 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	const nobody = `zcp: waiting for a connection\n`
	dir := t.TempDir()
	for _, tc := range []struct {
		args         []string // F is a FIFO that nobody opens
		before, then string   // what is said before and after somebody connects; empty: nobody can
	}{
		{[]string{"send", "F", ":0"}, nobody, `zcp: 0B 0:00:0\d \[     0B/s\]( stalled.*the source)?\n`},
		{[]string{"recv", ":0", "null:"}, nobody, `zcp: 0B 0:00:0\d \[     0B/s\]( stalled.*the sender)?\n`},
		{[]string{"recv", ":0", "F"}, nobody, `zcp: waiting for the destination to be opened\n`},
		{[]string{"relay", ":0", "-"}, nobody, `zcp: up 0B, down 0B in .*\n`},
		{[]string{"relay", ":0", ":0"}, `zcp: 0 open of at most .*\n`, ""},
		{[]string{"send", "-k", "zero:", ":0"}, `zcp: 0 open of at most .*\n`, `zcp: 1 open of at most .*\n`},
		{[]string{"recv", "-k", ":0", filepath.Join(dir, "%d")}, `zcp: 0 open of at most .*\n`, `zcp: 1 open of at most .*\n`},
		{[]string{"cat", "F"}, `zcp: 0B 0:00:0\d \[     0B/s\]( stalled.*the source)?\n`, ""},
		{[]string{"cat", "-o", "F", "/dev/null"}, `zcp: waiting for the destination to be opened\n`, ""},
		{[]string{"cat"}, `zcp: 0B 0:00:0\d \[     0B/s\]( stalled.*the source)?\n`, ""},
	} {
		t.Run(strings.Join(tc.args, " "), func(t *testing.T) {
			t.Parallel()
			args := slices.Clone(tc.args)
			for i, arg := range args {
				if arg == "F" {
					args[i] = fifo(t)
				}
			}
			if args[0] == "relay" && args[2] != "-" {
				args[2] = "127.0.0.1:9"
			}
			r, _ := pipe(t)
			p := zcp(t, append(args, "-q")...).from(r).start()
			listens := slices.Contains(args, ":0")
			if listens {
				p.port()
			}
			asleep(t, p.Process.Pid)
			p.signal(unix.SIGUSR1)
			p.says(tc.before)
			if tc.then != "" {
				c := dial(t, p)
				waitFor(t, "the connection", func() bool {
					p.signal(unix.SIGUSR1)
					return regexp.MustCompile(tc.then).MatchString(p.err.String())
				})
				c.Close()
			}
			if p.hasEnded() && tc.then == "" {
				t.Errorf("ended: %s", p.err)
			}
		})
	}
}
