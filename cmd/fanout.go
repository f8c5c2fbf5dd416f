package cmd

import (
	"context"
	"sync"
	"time"

	"github.com/zcp-go/zcp/cmd/conf"
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
	f := &fanout{job: newSendJob(out, c)}
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
	f.start(ctx, func(ctx context.Context, t *target, conn *transfer.Conn) error { return t.send(ctx, conn, c) }).Wait()
	f.d.t.Digest = f.targets[0].d.t.Digest // all targets were sent the same
	return f.end(ctx, nil)
}

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

// start connects to all targets at once, and delivers to each. What it returns waits for them.
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
		f.d.begin()
		f.moving = true
		f.mu.Unlock()
		f.d.enter(show.Moving)
		f.progress.Begin() // it may ask for a snapshot at once
	})
}

// deliver gives one target everything that move moves, waits until it has closed, and has check weigh what
// it said.
func (t *target) deliver(ctx context.Context, conn *transfer.Conn, linger time.Duration, move func(context.Context) error, check func() error) error {
	sayCongestion(t.out, conn, t.label)
	if err := t.attach(ctx, conn); err != nil {
		return err
	}
	err := move(ctx)
	if err == nil && ctx.Err() != nil { // the end was seen because what is moved was given up
		err = context.Cause(ctx)
	}
	if err = t.finish(ctx, conn, linger, err); err == nil {
		err = check()
	}
	if err != nil {
		return t.breakOff(err)
	}
	err = t.closeOrderly()
	t.endSend(err)
	return err
}
