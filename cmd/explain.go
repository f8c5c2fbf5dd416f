package cmd

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
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
		msg = protection(e)
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
			msg += ", else " + text.Join(e.Plan[1:], ", else ")
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

// protection says what is done about a program that writes to the file while it is read.
func protection(e transfer.Event) string {
	switch {
	case e.Guarding == transfer.Lease:
		return "the file is protected: a writer would be noticed (read lease)"
	case e.Guarding == transfer.Fixed:
		return "the file is protected: it cannot change"
	case e.Guarding == transfer.ComparedOnly && e.Err != nil:
		return "the file is compared before and after (no lease: " + leaseRefusal(e.Err) + ")"
	case e.Guarding == transfer.ComparedOnly:
		return "the file is compared before and after"
	}
	return "the file: " + e.Guarding.String()
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

// ran names the paths that moved bytes.
func (j *job) ran() string { return text.Join(j.d.t.Stats.Paths(), " and ") }

// explainRan tells after a transfer what really happened.
func (j *job) explainRan() {
	if !j.out.Options.Explain || j.d.began.Load() == nil {
		return
	}
	st := &j.d.t.Stats
	say := func(format string, args ...any) {
		if j.label != "" {
			format, args = "%s: "+format, append([]any{j.label}, args...)
		}
		j.out.Explain("ran", format, args...)
	}
	waits := j.waits()
	if v := verdict(waits, j.took()); v != "" {
		say("%s", v)
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
	if msg := waited(waits); msg != "" {
		say("%s", msg)
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

// A wait is what a transfer may have waited for, and how long it did.
type wait struct {
	name string
	long time.Duration
	more string // what else is to be said of it
}

// waits are those of a job that has ended.
func (j *job) waits() []wait {
	st := &j.d.t.Stats
	dst := time.Duration(st.WaitDst.Load())
	if last, acked := st.LastByte.Load(), st.AllAcked.Load(); j.d.role == sending && last > 0 && acked > last {
		dst += time.Duration(acked - last) // for the acknowledgements: the engine does not count that
	}
	m := j.sides()
	waits := []wait{{name: m.From, long: time.Duration(st.WaitSrc.Load())}, {name: m.To, long: dst},
		{name: "the rate limit", long: time.Duration(st.WaitRate.Load())}}
	if j.proof.alg != "" {
		waits = append(waits, wait{j.proof.alg, time.Duration(st.WaitHash.Load()), ", which takes longer than the bytes to move"})
	}
	// The receiver's window tells it from the way there.
	if i := j.d.tcp; j.d.role == sending && i.Busy > 0 && 2*i.RwndLimited < i.Busy {
		waits[1].name = "the network or the receiver"
	}
	return waits
}

// verdict names what a transfer was waiting for during most of its time. A shorter one than a tick of the
// kernel's clock has none.
func verdict(waits []wait, took time.Duration) string {
	longest, all := slices.MaxFunc(waits, func(a, b wait) int { return cmp.Compare(a.long, b.long) }), time.Duration(0)
	for _, w := range waits {
		all += w.long
	}
	switch {
	case took < time.Millisecond:
		return ""
	case 2*longest.long < took:
		return fmt.Sprintf("nothing was the brake for long: %s of %s were spent waiting, the rest copying", text.Duration(min(all, took)), text.Duration(took))
	}
	return fmt.Sprintf("%s was the brake: zcp waited for it %s of %s", longest.name, text.Duration(min(longest.long, took)), text.Duration(took))
}

// waited lists what took at least a millisecond.
func waited(waits []wait) string {
	var parts []string
	for _, w := range waits {
		if w.long >= time.Millisecond {
			parts = append(parts, fmt.Sprintf("%s for %s%s", text.Duration(w.long), w.name, w.more))
		}
	}
	if len(parts) == 0 {
		return ""
	}
	return "waited " + strings.Join(parts, ", ")
}
