package cmd

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/zcp-go/zcp/cmd/exit"
	"github.com/zcp-go/zcp/cmd/show"
	"github.com/zcp-go/zcp/cmd/text"
)

// watch shows the slowest delivery, and answers SIGUSR1 with a row for each.
func (f *fanout) watch(onTerminal bool) {
	f.d.enter(show.Connecting)
	f.progress = &show.Progress{Printer: f.out, Read: f.snapshot, Rows: f.rows, Attempt: f.attempted, DataOnTerminal: onTerminal,
		Meter: show.Meter{From: "the source", To: "the receiver"}}
	f.progress.Start()
}

// attempted tells of a connection that is being made, the first of several.
func (f *fanout) attempted() (show.Attempt, bool) {
	for _, t := range f.targets {
		if a, ok := t.attempted(); ok {
			return a, true
		}
	}
	return show.Attempt{}, false
}

// counts are the bytes of a target.
func (t *target) counts() show.Snapshot {
	return show.Snapshot{Bytes: t.d.bytes(), Acked: t.d.acked(), Offset: t.d.t.Stats.Offset.Load()}
}

// snapshot is that of the slowest delivery that runs. Before there is any it is one that
// connects, and after the last one the slowest of all.
func (f *fanout) snapshot() show.Snapshot {
	f.mu.Lock()
	defer f.mu.Unlock()
	best, rank := show.Snapshot{}, -1
	have := 0
	for _, t := range f.targets {
		s := t.d.snapshot()
		r := 2 // it runs
		switch {
		case t.ended && t.err == nil:
			r = 1
			have++
		case t.ended:
			r = 0
		case s.Phase == show.Connecting || s.Phase == show.Opening:
			r = 1
		}
		s.To = t.label
		if r > rank || r == rank && s.Offset+s.Acked < best.Offset+best.Acked {
			best, rank = s, r
		}
	}
	if f.moving && (best.Phase == show.Connecting || best.Phase == show.Opening) {
		best.Phase, best.Waiting = show.Moving, show.Destination
	}
	best.Total = f.total.Load()
	best.About = f.length.Estimate && best.Total == f.length.Size
	best.Targets, best.Ended = len(f.targets), have
	return best
}

// rows are the table of targets.
func (f *fanout) rows() []show.Event {
	f.mu.Lock()
	defer f.mu.Unlock()
	var rows []show.Event
	for _, t := range f.targets {
		took := t.d.took()
		if t.ended {
			took = t.took
		}
		rows = append(rows, show.RowOf(t.label, t.counts(), took, t.state()))
	}
	return rows
}

// state says in words how far a target is.
func (t *target) state() string {
	s := t.d.snapshot()
	switch {
	case t.ended && t.err == nil:
		return "done"
	case t.ended:
		return strings.TrimPrefix(t.reason(), t.label+": ")
	case s.Phase == show.Connecting:
		return "connecting"
	case s.Phase == show.Closing:
		return "waiting for the peer to close"
	case s.Waiting == show.Destination:
		return "waiting for the receiver"
	case s.Waiting == show.Source:
		return "waiting for the source"
	}
	return "sending"
}

// settle keeps what came of a target, and says it: a failure while others still run, because
// the last line may be far away.
func (f *fanout) settle(t *target, err error) {
	f.mu.Lock()
	f.running--
	t.ended, t.err, t.took = true, err, t.d.took()
	e := show.DeliveryOf(t.label, t.counts(), t.moved)
	if e.Note = t.sendNote(); err != nil {
		e.Status, e.Error = exit.Status(err), t.reason()
	}
	if err == nil {
		t.took = t.moved.Took
	} else {
		e.Moved.Took = t.took
	}
	_, signal := errors.AsType[*exit.Signaled](err)
	if f.running == 0 || signal {
		e.To = show.ForVerbose
	}
	f.mu.Unlock()
	f.out.Emit(e)
}

// reason is why a target does not have everything, beginning with its name.
func (t *target) reason() string {
	if msg := t.err.Error(); strings.HasPrefix(msg, t.label+": ") {
		return msg
	}
	return t.label + ": " + t.err.Error()
}

// end says what came of all targets together, and returns the verdict. of is what is wrong with the
// source; then nothing that arrived is worth much.
func (f *fanout) end(ctx context.Context, of error) error {
	err := f.verdict("have", "has")
	if of != nil && (err == nil || exit.Status(of) != exit.Changed) {
		err = of
	}
	f.stop(err == nil)
	slowest := slices.MinFunc(f.targets, func(a, b *target) int { return cmp.Compare(a.d.acked(), b.d.acked()) })
	if ctx.Err() != nil && err != nil {
		f.d.t.Stats.Bytes.Store(slowest.d.bytes()) // what it counts itself is not delivered yet
		return f.fail(context.Cause(ctx))
	}
	if err == nil {
		f.sayDigest()
	}
	took := max(0, slowest.took-f.progress.Stopped())
	e := show.Done("sent", slowest.counts(), took)
	e.What, e.Where, e.Note = f.movedName(), fmt.Sprintf("to %d targets", len(f.targets)), f.notes()
	e.Verified = err == nil && f.proof.verify
	f.sayLast(e, slowest.job, err)
	for _, t := range f.targets {
		t.explainRan()
	}
	return err
}

// notes says which targets have everything and have not closed after the end.
func (f *fanout) notes() string {
	var notes []string
	if f.proof.verify {
		notes = append(notes, receiptNote)
	}
	for _, t := range f.targets {
		if n := t.sendNote(); n != "" && t.err == nil && n != receiptNote {
			notes = append(notes, t.label+": "+n)
		}
	}
	return strings.Join(notes, ", ")
}

// severity is the order in which statuses count where several things went wrong.
var severity = []int{exit.BadUsage, exit.Unproven, exit.Changed, exit.Incomplete, exit.TimedOut, exit.Failed}

// verdict is nil if all targets have everything. Where some have, it is at least [exit.Incomplete].
func (f *fanout) verdict(many, one string) error {
	var not []string
	worst, hint, have := len(severity), "", 0
	for _, t := range f.targets {
		if t.err == nil {
			have++
			continue
		}
		if r := t.reason(); !slices.Contains(not, r) {
			not = append(not, r)
		}
		if at := slices.Index(severity, exit.Status(t.err)); at >= 0 && at < worst {
			worst = at
		}
		hint = cmp.Or(hint, exit.Hint(t.err))
	}
	if len(not) == 0 {
		return nil
	}
	count, verb := text.Grouped(int64(have)), many
	switch have {
	case 0:
		count, verb = "none", one
	case 1:
		verb = one
	}
	if have > 0 {
		worst = min(worst, slices.Index(severity, exit.Incomplete))
	}
	status := exit.Failed
	if worst < len(severity) {
		status = severity[worst]
	}
	return &exit.Failure{Status: status, Hint: hint,
		Err: fmt.Errorf("%s of %d targets %s it; not %s", count, len(f.targets), verb, strings.Join(not, "; not "))}
}
