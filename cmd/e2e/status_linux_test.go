package e2e

import (
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/zcp-go/zcp/cmd/e2e/program"
)

// TestStatusSignal: SIGUSR1 is answered by a line, also with -q, in every command, while it
// waits for a peer and while bytes should move; and it ends nothing.
func TestStatusSignal(t *testing.T) {
	fifo := func(t *testing.T) string {
		name := filepath.Join(t.TempDir(), "fifo")
		if err := unix.Mkfifo(name, 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	const noPeer = `zcp: waiting for a connection\n`
	dir := t.TempDir()
	for _, tc := range []struct {
		args         []string // F is a FIFO that has no other end
		before, then string   // what is said before and after a peer connects; empty: none can
	}{
		{[]string{"send", "F", ":0"}, noPeer, `zcp: 0B 0:00:0\d \[     0B/s\]( stalled.*the source)?\n`},
		{[]string{"recv", ":0", "null:"}, noPeer, `zcp: 0B 0:00:0\d \[     0B/s\]( stalled.*the sender)?\n`},
		{[]string{"recv", ":0", "F"}, noPeer, `zcp: waiting for the destination to be opened\n`},
		{[]string{"relay", ":0", "-"}, noPeer, `zcp: up 0B, down 0B in .*\n`},
		{[]string{"relay", ":0", ":0"}, `zcp: 0 open \(limit .*\n`, ""},
		{[]string{"send", "-k", "zero:", ":0"}, `zcp: 0 open \(limit .*\n`, `zcp: 1 open \(limit .*\n`},
		{[]string{"recv", "-k", ":0", filepath.Join(dir, "%d")}, `zcp: 0 open \(limit .*\n`, `zcp: 1 open \(limit .*\n`},
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
			r, _ := program.Pipe(t)
			p := program.Zcp(t, append(args, "-q")...).From(r).Start()
			listens := slices.Contains(args, ":0")
			if listens {
				p.Port()
			}
			program.Asleep(t, p.Process.Pid)
			p.Signal(unix.SIGUSR1)
			p.Says(tc.before)
			if tc.then != "" {
				c := program.Dial(t, p)
				program.WaitFor(t, "the connection", func() bool {
					p.Signal(unix.SIGUSR1)
					return regexp.MustCompile(tc.then).MatchString(p.ErrOut.String())
				})
				c.Close()
			}
			if p.HasEnded() && tc.then == "" {
				t.Errorf("ended: %s", p.ErrOut)
			}
		})
	}
}
