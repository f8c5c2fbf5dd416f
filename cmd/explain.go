package cmd

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/zcp-go/zcp/cmd/show"
	"github.com/zcp-go/zcp/cmd/text"
	"github.com/zcp-go/zcp/transfer"
)

// trace tells what the engine plans and where the kernel refuses: a line with -v, an
// explanation with --explain. It runs on the goroutine that moves bytes.
func (j *job) trace(e transfer.Event) {
	msg := ""
	switch e.Kind {
	case transfer.ReadingBack:
		j.readingBack()
		return
	case transfer.Guarded:
		if e.Guarding == transfer.NoGuard {
			return
		}
		msg = "source guarded: " + e.Guarding.String()
		if e.Guarding == transfer.ComparedOnly && e.Err != nil {
			msg += " (no lease: " + leaseRefusal(e.Err) + ")"
		}
	case transfer.Planned:
		j.announce(e.Path)
		msg = fmt.Sprintf("%s to %s by %s", e.Src, e.Dst, e.Path)
		if j.d.t.NoSplice {
			msg += ", as --no-splice asks for"
		}
		if e.Pipe > 0 {
			msg += ", pipe of " + text.Size(int64(e.Pipe))
		}
		if j.out.Options.Explain && len(e.Plan) > 1 {
			msg += ", else " + joinPaths(e.Plan[1:])
		}
	case transfer.Borrowed:
		msg = "borrowed a pipe of " + text.Size(int64(e.Pipe))
	case transfer.Refused:
		msg = fmt.Sprintf("%s refused by the %s", e.Path, e.Side)
		if e.Err != nil {
			msg += ": " + e.Err.Error()
		}
	case transfer.LeaseLost:
		msg = "another process wants to write to the source: the lease is given up, the rest is copied"
	}
	sayPlan(j.out, j.label, msg)
}

// sayPlan tells how bytes are going to move: a line with -v, an explanation with --explain.
func sayPlan(out *show.Printer, label, msg string) {
	if label != "" {
		msg = label + ": " + msg
	}
	if out.Options.Explain {
		out.Explain("plan", "%s", msg)
		return
	}
	out.Detail("%s", msg)
}

func leaseRefusal(err error) string {
	switch {
	case errors.Is(err, unix.EAGAIN):
		return "another process has it open for writing"
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
func (j *job) ran() string {
	var names []string
	for _, p := range j.d.t.Stats.Paths() {
		names = append(names, p.String())
	}
	return strings.Join(names, " and ")
}

// explainRan tells after a transfer what really happened.
func (j *job) explainRan() {
	if !j.out.Options.Explain || j.d.began.IsZero() {
		return
	}
	st := &j.d.t.Stats
	say := func(format string, args ...any) {
		if j.label != "" {
			format, args = "%s: "+format, append([]any{j.label}, args...)
		}
		j.out.Explain("ran", format, args...)
	}
	for _, p := range st.Paths() {
		n, calls := st.Path(p)
		say("%s: %s in %s calls, %s a call", p, text.Size(n), text.Grouped(calls), text.Size(n/max(calls, 1)))
	}
	for _, f := range st.Fallbacks() {
		say("%s", f)
	}
	if size := st.PipeSize.Load(); size > 0 {
		say("pipe of %s", text.Size(size))
	}
	d := func(ns int64) string { return text.Duration(time.Duration(ns)) }
	say("waited %s for the source, %s for the destination, %s for the rate limit",
		d(st.WaitSrc.Load()), d(st.WaitDst.Load()), d(st.WaitRate.Load()))
	if j.proof.alg != "" {
		say("waited %s for %s: what it takes longer than the bytes to move", d(st.WaitHash.Load()), j.proof.alg)
	}
	if j.d.role == sending && j.d.conn != nil && j.d.conn.Kind() == transfer.TCP {
		say("%s", limitedBy(j.d.tcp))
		if msg := pacing(j.d.congestion, j.d.tcp); msg != "" {
			say("%s", msg)
		}
	}
}

// limitedBy says what held a TCP sender up, as the kernel has measured it. Its clock for
// that ticks in milliseconds: a short transfer has taken none of its time.
func limitedBy(i transfer.TCPInfo) string {
	msg := "limited by: nothing that took long enough to be measured"
	if i.Busy > 0 {
		percent := func(d time.Duration) int64 { return int64(100 * d / i.Busy) }
		rwnd, snd := percent(i.RwndLimited), percent(i.SndLimited)
		msg = fmt.Sprintf("limited by: receiver window %d %%, send buffer %d %%, network and sender %d %%", rwnd, snd, max(0, 100-rwnd-snd))
	}
	return msg + fmt.Sprintf("; %s retransmits, RTT %s", text.Grouped(int64(i.Retransmits)), i.RTT)
}
