package cmd

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/zcp-go/zcp/cmd/conf"
	"github.com/zcp-go/zcp/cmd/exit"
	"github.com/zcp-go/zcp/cmd/show"
	"github.com/zcp-go/zcp/cmd/text"
	"github.com/zcp-go/zcp/transfer"
)

// A fanout is one job with several deliveries: each target has a connection, a pace, an
// acknowledged count and an end of its own. The job is what is shown of all of them.
type fanout struct {
	*job
	targets []*target
	first   sync.Once // the first delivery that has a plan begins the job
	begun   sync.Once
	dialing sync.WaitGroup // targets that are neither connected nor given up
	moving  bool           // there was a connection; under mu
	running int            // targets that have not ended; under mu
	mu      sync.Mutex
}

// A target is one of several receivers, and the job of its delivery.
type target struct {
	*job
	m     *connector
	drop  context.CancelCauseFunc // ends this delivery alone; set while it runs
	leave func()                  // what is to be closed when it has ended; may be nil
	ended bool                    // under fanout.mu, as all below
	err   error                   // why it does not have everything
	took  time.Duration           // until it ended
}

// runFanout sends the same bytes to several targets.
func runFanout(ctx context.Context, out *show.Printer, c *conf.Send) error {
	f := newFanout(newSendJob(out, c))
	f.add(newSendJob(out, c), &connector{op: c.Net, net: c.Network, out: out})
	for _, to := range c.To {
		f.add(newSendJob(out, c), &connector{op: to, net: c.Next, out: out})
	}
	f.named(c.Sources, c.Net)
	ends := append([]conf.Operand{c.Net}, c.To...)
	f.to = sourcesText(ends, conf.Operand.String)
	f.dst = sourcesText(ends, func(op conf.Operand) string { return text.Quote(op.Text) })
	f.watch(false)
	if err := checkSources(c.Sources, c.Tree); err != nil {
		return f.refused(err)
	}
	if err := f.prepare(ctx); err != nil {
		return f.refused(err)
	}
	defer f.close()
	if streamed(c.Sources, c.Tree) {
		return f.sendStream(ctx, c)
	}
	f.beginsWithPlan()
	f.run(ctx, func(ctx context.Context, t *target, conn *transfer.Conn) error { return t.send(ctx, conn, c) })
	f.d.t.Digest = f.targets[0].d.t.Digest // all targets were sent the same
	return f.end(ctx, nil)
}

func newFanout(j *job) *fanout { return &fanout{job: j} }

// add gives the fan-out one more target. Only the first speaks of the sources, and only it
// computes a digest: all get the same bytes. With --verify each has its own, of what was sent to it.
func (f *fanout) add(j *job, m *connector) *target {
	t := &target{job: j, m: m}
	m.attempt = &j.attempt
	j.to, j.net, j.served, j.label = m.op.String(), m.op, true, m.op.String()
	j.proof.say = false
	if j.twin = len(f.targets) > 0; j.twin && !j.proof.verify {
		j.d.t.Digest = nil
	}
	j.d.enter(show.Connecting)
	f.targets = append(f.targets, t)
	f.running++
	return t
}

// beginsWithPlan has the first delivery that knows its path announce the job's.
func (f *fanout) beginsWithPlan() {
	for _, t := range f.targets {
		plan := t.d.t.Trace
		t.d.t.Trace = func(e transfer.Event) {
			if e.Kind == transfer.Planned {
				f.first.Do(func() { f.announce(e.Path) })
			}
			plan(e)
		}
	}
}

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

// prepare makes all ends ready that need no peer for it.
func (f *fanout) prepare(ctx context.Context) error {
	for _, t := range f.targets {
		if err := t.m.prepare(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (f *fanout) close() {
	for _, t := range f.targets {
		t.m.close()
	}
}

// run connects to all targets at once, and delivers to each.
func (f *fanout) run(ctx context.Context, deliver func(context.Context, *target, *transfer.Conn) error) {
	f.start(ctx, deliver).Wait()
}

// start is run that does not wait; what it returns does.
func (f *fanout) start(ctx context.Context, deliver func(context.Context, *target, *transfer.Conn) error) *sync.WaitGroup {
	all := &sync.WaitGroup{}
	for _, t := range f.targets {
		ctx, cancel := context.WithCancelCause(ctx)
		t.drop = cancel
		f.dialing.Add(1)
		all.Go(func() {
			defer cancel(nil)
			conn, err := t.m.connect(ctx)
			f.dialing.Done()
			if err == nil {
				f.begin()
				err = deliver(ctx, t, conn)
			} else {
				err = t.fail(err)
			}
			if t.leave != nil {
				t.leave()
			}
			f.settle(t, err)
		})
	}
	return all
}

// begin starts the clock, with the first connection.
func (f *fanout) begin() {
	f.begun.Do(func() {
		f.mu.Lock()
		f.d.began, f.moving = time.Now(), true
		f.mu.Unlock()
		f.d.enter(show.Moving)
		f.progress.Begin() // it may ask for a snapshot at once
	})
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

// counts are the bytes of a target.
func (t *target) counts() show.Snapshot {
	return show.Snapshot{Bytes: t.d.bytes(), Acked: t.d.acked(), Offset: t.d.t.Stats.Offset.Load()}
}

// reason is why a target does not have everything, beginning with its name.
func (t *target) reason() string {
	if msg := t.err.Error(); strings.HasPrefix(msg, t.label+": ") {
		return msg
	}
	return t.label + ": " + t.err.Error()
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
		if r > rank || r == rank && s.Acked < best.Acked {
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
	e.Path, e.Calls, e.Fallbacks = slowest.ran(), slowest.d.t.Stats.Calls.Load(), int64(len(slowest.d.t.Stats.Fallbacks()))
	e.What, e.Where, e.Note = f.movedName(), fmt.Sprintf("to %d targets", len(f.targets)), f.notes()
	e.Verified = err == nil && f.proof.verify
	if err == nil && f.proof.say {
		e.Hash, e.Digest = f.proof.alg, f.proof.digest
	}
	if err != nil {
		e.Status, e.Error = exit.Status(err), err.Error()
	}
	f.out.Emit(e)
	if err == nil {
		f.progress.Curve()
	}
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
