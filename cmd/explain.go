package cmd

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/zcp-go/zcp/transfer"
)

// trace tells what the engine plans and where the kernel refuses: a line with -v, an
// explanation with --explain. It runs on the goroutine that moves bytes.
func (s *session) trace(e transfer.Event) {
	text := ""
	switch e.Kind {
	case transfer.Guarded:
		if e.Guarding == transfer.NoGuard {
			return
		}
		text = "source guarded: " + e.Guarding.String()
		if e.Guarding == transfer.LookedAt && e.Err != nil {
			text += " (no lease: " + leaseRefusal(e.Err) + ")"
		}
	case transfer.Planned:
		s.announce(e.Path)
		text = fmt.Sprintf("%s to %s by %s", e.Src, e.Dst, e.Path)
		if s.t.NoSplice {
			text += ", as --no-splice asks for"
		}
		if e.Pipe > 0 {
			text += ", pipe of " + FormatSize(int64(e.Pipe))
		}
		if s.display.Explain && len(e.Plan) > 1 {
			text += ", else " + joinPaths(e.Plan[1:])
		}
	case transfer.Refused:
		text = fmt.Sprintf("%s refused by the %s", e.Path, e.Side)
		if e.Err != nil {
			text += ": " + e.Err.Error()
		}
	case transfer.LeaseLost:
		text = "somebody wants to write to the source: the lease is given up, the rest is copied"
	}
	if s.display.Explain {
		s.out.Emit(&Explained{When: "plan", Text: text})
		return
	}
	s.out.Detail("%s", text)
}

func leaseRefusal(err error) string {
	switch {
	case errors.Is(err, unix.EAGAIN):
		return "somebody has it open for writing"
	case errors.Is(err, unix.EACCES):
		return "it is another user's"
	}
	return err.Error()
}

func joinPaths(ps []transfer.Path) string {
	var names []string
	for _, p := range ps {
		names = append(names, p.String())
	}
	return strings.Join(names, ", else ")
}

// ran names the paths that moved bytes.
func (s *session) ran() string {
	var names []string
	for _, p := range s.t.Stats.Paths() {
		names = append(names, p.String())
	}
	return strings.Join(names, " and ")
}

// explainRan tells after a transfer what really happened.
func (s *session) explainRan() {
	if !s.display.Explain || s.began.IsZero() {
		return
	}
	st := &s.t.Stats
	say := func(format string, args ...any) {
		s.out.Emit(&Explained{When: "ran", Text: fmt.Sprintf(format, args...)})
	}
	for _, p := range st.Paths() {
		n, calls := st.Path(p)
		say("%s: %s in %s calls, %s a call", p, FormatSize(n), grouped(calls), FormatSize(n/max(calls, 1)))
	}
	for _, f := range st.Fallbacks() {
		say("%s", f)
	}
	if size := st.PipeSize.Load(); size > 0 {
		say("pipe of %s", FormatSize(size))
	}
	d := func(ns int64) string { return FormatDuration(time.Duration(ns)) }
	say("waited %s for the source, %s for the destination, %s for the rate limit",
		d(st.WaitSrc.Load()), d(st.WaitDst.Load()), d(st.WaitRate.Load()))
	if s.sending && s.peer != nil && s.peer.Kind() == transfer.TCP {
		say("%s", limitedBy(s.tcp))
	}
}

// limitedBy says what held a TCP sender up, as the kernel has measured it. Its clock for
// that ticks in milliseconds: a short transfer has taken none of its time.
func limitedBy(i transfer.TCPInfo) string {
	text := "limited by: nothing that took long enough to be measured"
	if i.Busy > 0 {
		percent := func(d time.Duration) int64 { return int64(100 * d / i.Busy) }
		rwnd, snd := percent(i.RwndLimited), percent(i.SndLimited)
		text = fmt.Sprintf("limited by: receiver window %d %%, send buffer %d %%, network and sender %d %%", rwnd, snd, max(0, 100-rwnd-snd))
	}
	return text + fmt.Sprintf("; %s retransmits, RTT %s", grouped(int64(i.Retransmits)), i.RTT)
}
