package cmd

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/zcp-go/zcp/cmd/conf"
	"github.com/zcp-go/zcp/cmd/exit"
	"github.com/zcp-go/zcp/cmd/show"
	"github.com/zcp-go/zcp/cmd/text"
	"github.com/zcp-go/zcp/transfer"
)

const (
	// healIdle is --idle where a broken connection is to be followed by another: without it, one whose
	// peer has vanished without a word would never be given up.
	healIdle = 10 * time.Second
	// replaceAfter is how long a connection has to be silent to be replaced by the next one that comes. One
	// on which bytes move is not: it may be a port probe that comes.
	replaceAfter = time.Second
	// The pause before another connection after one on which nothing new has moved; it doubles.
	firstPause, longestPause = 50 * time.Millisecond, time.Second
)

// A healer makes connections for a job, one after the other, until one of them has ended well, or none has
// moved a new byte for a time.
type healer struct {
	j        *job
	m        *connector
	patience time.Duration // --retry-for; 0: a single connection
	reached  int64         // the furthest position
	since    time.Time     // when it was reached
	pause    time.Duration
	next     *transfer.Conn // has come while another was in use
}

// newHealer prepares connections to the job's network end. An inherited connection cannot be made again.
func newHealer(ctx context.Context, j *job, n conf.Network) (*healer, error) {
	m := &connector{op: j.net, net: n, out: j.out, attempt: &j.attempt, there: j.typedThere("--resume")}
	h := &healer{j: j, m: m, patience: n.RetryFor}
	if m.stays = h.patience > 0; m.stays && n.Idle <= 0 {
		j.d.t.Idle, j.heard.limit = healIdle, busyLimit
	}
	if err := m.prepare(ctx); err != nil {
		return nil, err
	}
	if m.stays && m.ln == nil && (m.op.Kind == conf.FD || m.op.Kind == conf.SD) {
		return nil, exit.Usagef("--retry-for: %s is one connection, and cannot be made again", m.op)
	}
	return h, nil
}

// run hands connections to once, which ends each that has ended well. After an error the last connection,
// if there is one, is still open.
func (h *healer) run(ctx context.Context, once func(context.Context, *transfer.Conn) error) error {
	conn, err := h.m.connect(ctx)
	if err != nil {
		return err
	}
	return h.runFrom(ctx, conn, once)
}

// runFrom is run where the first connection stands.
func (h *healer) runFrom(ctx context.Context, conn *transfer.Conn, once func(context.Context, *transfer.Conn) error) error {
	defer func() {
		if h.next != nil {
			h.next.Close()
		}
	}()
	for h.since = time.Now(); ; {
		err := h.serve(ctx, conn, once)
		if err == nil || h.patience <= 0 || !h.j.broke(err) {
			return err
		}
		left := h.note()
		err = h.j.failure(err)
		h.j.d.disconnect()
		if left > 0 {
			h.j.breaks++
			h.j.out.Emit(&show.Break{Error: err.Error(), Status: exit.Status(err), Breaks: h.j.breaks, Patience: left})
			conn, left = h.connect(ctx, left)
		}
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case left <= 0:
			return &exit.Failure{Status: exit.Status(err), Err: fmt.Errorf("%w; no other connection went on within %s", err, text.Duration(h.patience))}
		}
	}
}

// note tells after a break how much of the patience is left: all of it after new bytes.
func (h *healer) note() (left time.Duration) {
	if at := h.j.d.t.Stats.Offset.Load() + h.j.d.acked(); at > h.reached {
		h.reached, h.since, h.pause = at, time.Now(), 0
	}
	return h.patience - time.Since(h.since)
}

// connect makes the next connection within left, or says that nothing is left. Its errors are not said: the break was.
func (h *healer) connect(ctx context.Context, left time.Duration) (*transfer.Conn, time.Duration) {
	until := time.Now().Add(left)
	if h.pause > 0 {
		select {
		case <-ctx.Done():
		case <-time.After(min(h.pause, left)):
		}
	}
	h.pause = min(max(2*h.pause, firstPause), longestPause)
	if conn := h.next; conn != nil {
		h.next = nil
		return conn, left
	}
	limited, cancel := context.WithDeadline(ctx, until)
	lent := make(chan struct{})
	go func() {
		defer close(lent)
		h.j.d.t.LendSources(limited)
	}()
	defer func() {
		cancel()
		<-lent
	}()
	for {
		conn, err := h.another(limited, until)
		if err == nil {
			return conn, left
		}
		select { // what has failed may pass, like a lack of descriptors
		case <-limited.Done():
			return nil, 0
		case <-time.After(h.pause):
		}
	}
}

// another waits for a connection, or makes one.
func (h *healer) another(ctx context.Context, until time.Time) (*transfer.Conn, error) {
	if h.m.ln != nil {
		return h.m.ln.Accept(ctx)
	}
	return h.m.dial(ctx, time.Until(until))
}

// serve hands a connection to once. Another that comes meanwhile waits, or takes its place if it is silent.
func (h *healer) serve(ctx context.Context, conn *transfer.Conn, once func(context.Context, *transfer.Conn) error) error {
	h.j.d.connect(conn)
	if h.m.ln == nil || h.patience <= 0 {
		return once(ctx, conn)
	}
	moving, replace := context.WithCancelCause(ctx)
	defer replace(nil)
	accepting, stop := context.WithCancel(ctx)
	arrived := make(chan *transfer.Conn, 1)
	go func() { arrived <- h.await(accepting, replace) }()
	err := once(moving, conn)
	stop()
	h.next = <-arrived
	return err
}

// await accepts the next connection, and ends the one in use when that is silent.
func (h *healer) await(ctx context.Context, replace context.CancelCauseFunc) *transfer.Conn {
	next, err := h.m.ln.Accept(ctx)
	if err != nil {
		return nil // the Accept after the break says it again
	}
	tick := time.NewTicker(replaceAfter / 4)
	defer tick.Stop()
	for last, changed := int64(-1), time.Now(); ; {
		if n := h.j.d.t.Stats.Calls.Load(); n != last {
			last, changed = n, time.Now()
		} else if time.Since(changed) >= replaceAfter {
			replace(errReplaced)
			return next
		}
		select {
		case <-ctx.Done():
			return next
		case <-tick.C:
		}
	}
}

// A brokenError is the end of a connection that another one may make good.
type brokenError struct{ *exit.Failure }

func (e brokenError) Unwrap() error { return e.Failure }

var errReplaced = brokenError{&exit.Failure{Status: exit.TimedOut, Err: errors.New("silent, and another connection has come")}}

// brokenOff is a brokenError in words.
func brokenOff(format string, args ...any) error {
	return brokenError{&exit.Failure{Status: exit.Incomplete, Err: fmt.Errorf(format, args...)}}
}

// broke tells whether an error is that of a connection, not of a file or of the user.
func (j *job) broke(err error) bool {
	if _, ok := errors.AsType[brokenError](err); ok || errors.Is(err, transfer.ErrIdle) {
		return true
	}
	side, ok := errors.AsType[*transfer.Error](err)
	if !ok || j.d.place(side.Side) != exit.Connected {
		return false
	}
	status := exit.Status(exit.Classify(side.Err, exit.Where{Place: exit.Connected}))
	return status == exit.Incomplete || status == exit.TimedOut
}

// meet begins with a connection: the clock runs from the first one on.
func (j *job) meet(conn *transfer.Conn) {
	sayCongestion(j.out, conn, j.label)
	if j.d.began.Load() == nil {
		j.begin()
	}
	j.d.enter(show.Moving)
}
