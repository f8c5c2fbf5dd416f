package faults

import (
	"fmt"
	"path/filepath"
	"testing"

	"github.com/zcp-go/zcp/cmd/e2e/program"
)

// TestSocketCallsRefused refuses every question to a socket and every option of one that only helps, with
// each errno that systems use for that, to each end of a transfer and to each at once: containers, gVisor, MPTCP, old
// kernels. All bytes arrive and all ends say 0. With -v it prints the table of what was said. Unless all are
// wanted ([program.All]), each call is refused with one errno, to each end at once.
func TestSocketCallsRefused(t *testing.T) {
	content := program.Noise(300_000, 19)
	errnos := []string{"EPERM", "EINVAL", "ENOPROTOOPT", "ENOTTY", "EOPNOTSUPP", "ENOSYS"}
	for i, call := range program.RefusableOfSockets {
		for j, errno := range errnos {
			for _, command := range []string{"send", "recv", "relay", "each"} {
				if !program.All() && (command != "each" || j != i%len(errnos)) {
					continue
				}
				refuse := program.RefuseVariable + "=" + errno + ":" + call
				t.Run(fmt.Sprintf("%s/%s/%s", call, errno, command), func(t *testing.T) {
					t.Parallel()
					refused(t, command, refuse, content)
				})
			}
		}
	}
}

// refused sends content through a relay, where one command or each runs under a refusal.
func refused(t *testing.T, command, refuse string, content []byte) {
	dir := t.TempDir()
	in, out := filepath.Join(dir, "in"), filepath.Join(dir, "out")
	program.WriteFile(t, in, content, 0o600)
	start := func(args ...string) *program.Process {
		p := program.Zcp(t, args...)
		if args[0] == command || command == "each" {
			p = p.With(refuse)
		}
		return p.Start()
	}
	r := start("recv", "-v", "--idle", "30", "-l", "127.0.0.1:0", out)
	y := start("relay", "-v", "--idle", "30", "127.0.0.1:0", "127.0.0.1:"+r.Port())
	s := start("send", "-v", "--idle", "30", in, "127.0.0.1:"+y.Port())
	s.Ends(0)
	r.Ends(0)
	program.Holds(t, out, content)
	for _, end := range []*program.Process{s, r, y} {
		if testing.Verbose() && (end.Args[1] == command || command == "each") {
			t.Logf("%s", end.ErrOut)
		}
	}
}

// TestAcknowledgementNotCounted: where SIOCOUTQ is refused nothing is claimed that cannot be seen, and a peer
// that stays open is not waited for without end.
func TestAcknowledgementNotCounted(t *testing.T) {
	in := program.Source(t, "hello")
	for _, unix := range []bool{false, true} {
		to := "127.0.0.1:0"
		if unix {
			to = "unix:" + filepath.Join(t.TempDir(), "s")
		}
		r := program.Zcp(t, "recv", "-l", to, filepath.Join(t.TempDir(), "out")).Start()
		at := r.Says(`listening on (\S+)\n`)[1]
		s := program.Zcp(t, "send", "-v", in, at).With(program.RefuseVariable + "=ENOTTY:SIOCOUTQ").Start()
		s.Says(`what it has acknowledged cannot be seen`)
		s.Ends(0)
		r.Ends(0)
	}
	p, _ := program.MeetPeer(t, program.Mode{}, "send", "-v", "--linger", "0.1", in)
	p.Ends(0) // the same peer, counted
	ln, _ := program.Listening(t)
	s := program.Zcp(t, "send", "-v", "--linger", "0.1", in, ln.Addr().String()).With(program.RefuseVariable + "=EINVAL:SIOCOUTQ").Start()
	s.Says(`not known to be acknowledged`)
	s.Ends(0)
}
