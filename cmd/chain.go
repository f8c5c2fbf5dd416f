package cmd

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/zcp-go/zcp/cmd/conf"
	"github.com/zcp-go/zcp/cmd/exit"
	"github.com/zcp-go/zcp/cmd/files"
	"github.com/zcp-go/zcp/cmd/proof"
	"github.com/zcp-go/zcp/cmd/show"
	"github.com/zcp-go/zcp/transfer"
)

// A chain passes on what a receiver stores, from what is stored: the next machine is a second reader of a
// growing file, so a slow or broken one never slows the receiver. A nil chain does nothing.
type chain struct {
	*fanout  // its job is the receiver's
	ctx      context.Context
	cancel   context.CancelCauseFunc
	stored   transfer.Growing
	all      *sync.WaitGroup // the deliveries; nil before they begin
	linger   time.Duration   // how long a next that has everything may be silent
	digested chan struct{}   // closed when the digest is known
	stream   *treeStream     // nil where a file is stored
	size     atomic.Int64    // of the file, for a next that asks where to begin; -1: not known
	complete bool            // everything is stored; under fanout.mu
}

// newChain gives the job of a receiver its nexts, and shows it.
func newChain(ctx context.Context, j *job, c *conf.Recv) *chain {
	n := &chain{fanout: &fanout{job: j}, linger: c.Idle, digested: make(chan struct{})}
	j.next, j.d.t.Grows = n, &n.stored
	if n.linger <= 0 {
		n.linger = math.MaxInt64 / 2 // something is added to it
	}
	n.ctx, n.cancel = context.WithCancelCause(ctx)
	for _, op := range c.To {
		to := newJob(j.out, sending, c.Transfer, conf.Length{Size: -1}, c.Idle)
		to.named([]conf.Operand{c.Dest}, op)
		to.d.t.Discard, to.d.t.Heard, to.d.t.Limits, to.d.t.IdleOf = true, to.hear, nil, transfer.Destination
		to.proof = proofOf{alg: j.proof.alg, verify: j.proof.verify}
		n.add(to, &connector{op: op, net: c.Next, out: j.out})
	}
	n.begun.Do(func() {}) // the receiver has a clock of its own
	j.d.enter(show.Connecting)
	j.progress = &show.Progress{Printer: j.out, Read: n.snapshot, Rows: n.rows, Attempt: j.attempted,
		Meter: show.Meter{From: "the sender", To: "the reader", FromNet: true}}
	j.progress.Start()
	return n
}

// start dials the nexts, when the sender has come, and passes on what is being stored. Its error is that of dst.
func (n *chain) start(dst *files.Output) error {
	if n == nil {
		return nil
	}
	return n.passFile(dst, func(ctx context.Context, t *target, conn *transfer.Conn, src *transfer.Endpoint) error {
		return n.passOn(ctx, t, conn, func(ctx context.Context) error {
			_, err := t.d.t.MoveGrowing(ctx, conn.Endpoint, src, &n.stored, 0)
			return err
		})
	})
}

// passFile tells the sender how far the nexts are. The first time it dials them: each is delivered what is read from
// DST by a descriptor of its own.
func (n *chain) passFile(dst *files.Output, deliver func(context.Context, *target, *transfer.Conn, *transfer.Endpoint) error) error {
	if err := n.sayPassed(); err != nil || n.all != nil {
		return err
	}
	readers, err := n.readers(dst)
	if err != nil {
		return err
	}
	n.all = n.fanout.start(n.ctx, func(ctx context.Context, t *target, conn *transfer.Conn) error {
		return deliver(ctx, t, conn, readers[t])
	})
	return nil
}

// readers opens DST once for each next.
func (n *chain) readers(dst *files.Output) (map[*target]*transfer.Endpoint, error) {
	readers := map[*target]*transfer.Endpoint{}
	for _, t := range n.targets {
		e, err := dst.Reader()
		if err != nil {
			for _, open := range readers {
				open.Close()
			}
			return nil, err
		}
		readers[t] = e
		t.leave = func() { e.Close() }
	}
	return readers, nil
}

// passOn gives one next everything that move moves, and waits until it has closed.
func (n *chain) passOn(ctx context.Context, t *target, conn *transfer.Conn, move func(context.Context) error) error {
	return t.deliver(ctx, conn, n.linger, move, func() error {
		<-n.digested
		t.proof.digest = n.proof.digest
		if err := t.job.verdict(); err != nil {
			return err
		}
		return t.stayedOpen()
	})
}

// stayedOpen is an error for a next that has everything and has not closed.
func (t *target) stayedOpen() error {
	if t.d.how != transfer.PeerStayedOpen {
		return nil
	}
	return &exit.Failure{Status: exit.TimedOut, Err: fmt.Errorf("%s: has everything, and has not closed for --idle", t.label)}
}

// errIncomplete ends the deliveries of what was not received, or is not what was expected.
var errIncomplete = &exit.Failure{Status: exit.Incomplete, Err: errors.New("what was to be passed on is not complete")}

// end says that everything is stored and is what was expected: only then do the nexts see an end. After an error
// they see a reset. Only the first call counts.
func (n *chain) end(err error) {
	if n == nil {
		return
	}
	if err != nil {
		n.cancel(errIncomplete)
		if n.all != nil {
			n.all.Wait()
		}
		n.stream.end()
		return
	}
	n.mu.Lock()
	n.complete = true
	n.mu.Unlock()
	close(n.digested)
	n.stored.End()
	n.stream.end()
}

// line is what the sender is told of the nexts.
func (n *chain) line() proof.Busy { return proof.Busy{What: proof.PassedOn, N: n.passed()} }

// sayPassed tells the sender how far the nexts are. It does so before the first byte as well: a sender that has
// heard of them waits for the next line after its end, however short its --linger is. A reset is an error: the kernel
// tells of it once (sk_err), and the read that comes next would find an end in order. After the sender's end the
// same reset is EPIPE (tcp_reset in net/ipv4/tcp_input.c), and all bytes are there.
func (n *chain) sayPassed() error {
	if err := say(n.d.conn, n.line()); errors.Is(err, unix.ECONNRESET) {
		return &transfer.Error{Op: "write", Side: transfer.Source, Err: err}
	}
	return nil
}

// await waits until all nexts have closed, and tells the sender meanwhile that there is life. The error is that
// not all have it, or the cause of ctx.
func (n *chain) await(ctx context.Context) error {
	if n == nil {
		return nil
	}
	n.job.stored.busy.stop()
	_ = n.sayPassed() // everything has come: a sender that has gone needs no sign
	n.job.stored.busy = sayBusy(n.d.conn, busyEvery, n.line)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		n.all.Wait()
	}()
	select {
	case <-ended:
	case <-ctx.Done(): // of the job, which ends all deliveries, or of this connection alone
		if n.ctx.Err() != nil {
			<-ended
		}
	}
	if ctx.Err() != nil {
		n.job.stored.busy.stop()
		return context.Cause(ctx)
	}
	for _, t := range n.targets {
		t.explainRan()
	}
	err := n.verdict("have", "has")
	if err == nil {
		return nil
	}
	var not []string
	for _, t := range n.targets {
		if t.err != nil {
			not = append(not, t.reason())
		}
	}
	status := exit.Status(err)
	if status != exit.Unproven && status != exit.Changed {
		status = exit.Incomplete
	}
	return &exit.Failure{Status: status, Hint: exit.Hint(err),
		Err: fmt.Errorf("%s is complete, but not passed on: %s", n.destination(), strings.Join(not, "; "))}
}

// noteWith adds to the note of a receiver to whom it was passed on.
func (n *chain) noteWith(note string) string {
	if n == nil {
		return note
	}
	ops := make([]conf.Operand, len(n.targets))
	for i, t := range n.targets {
		ops[i] = t.m.op
	}
	on := "passed on to " + sourcesText(ops, conf.Operand.String)
	for _, more := range []string{n.notes(), note} {
		if more != "" {
			on += "; " + more
		}
	}
	return on
}

// passed is how far the nexts are, with what they tell of their own nexts: it grows for as long as any of them comes further.
func (n *chain) passed() (sum int64) {
	for _, t := range n.targets {
		sum += t.d.acked() + t.heard.passed.Load()
	}
	return sum
}

// hops is how many machines behind this one have proved that they have everything.
func (n *chain) hops() (hops int64) {
	if n == nil {
		return 0
	}
	for _, t := range n.targets {
		if t.proof.verified {
			hops += 1 + t.heard.receipt.Hops
		}
	}
	return hops
}

// snapshot is that of the receiver, or of the slowest next if that is what is waited for.
func (n *chain) snapshot() show.Snapshot {
	own, next := n.job.snapshot(), n.fanout.snapshot()
	n.mu.Lock()
	complete := n.complete
	n.mu.Unlock()
	s := own
	if complete || next.Waiting == show.Destination && next.Offset+next.Acked < own.Offset+own.Acked && own.Phase == show.Moving {
		s = next
	}
	s.Total, s.About = own.Total, own.About
	if s.Targets, s.Ended = len(n.targets)+1, next.Ended; complete {
		s.Ended++
	}
	return s
}
