package cmd

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/zcp-go/zcp/cmd/conf"
	"github.com/zcp-go/zcp/cmd/exit"
	"github.com/zcp-go/zcp/cmd/show"
	"github.com/zcp-go/zcp/cmd/text"
	"github.com/zcp-go/zcp/transfer"
)

// A twoWay joins standard input and output, as one end, to one connection: a netcat that
// knows half-closes, and ssh's ProxyCommand. Each direction has a goroutine of its own, so
// that an inherited descriptor that blocks holds up nobody else.
type twoWay struct {
	out      *show.Printer
	c        *conf.Relay
	conn     *transfer.Conn
	in, outp *transfer.Endpoint
	up, down transfer.Transfer
	peer     string
	began    atomic.Pointer[time.Time] // nil while nobody is there
	unwatch  func()                    // stops looking whether our output is still read
}

// relayStdio is relay with - as one of its ends.
func relayStdio(ctx context.Context, out *show.Printer, c *conf.Relay) error {
	net := c.Target
	if c.Target.Kind == conf.Stdio {
		net = c.Listen
	}
	if net.Kind == conf.Stdio {
		return exit.Usagef("- can be one of the ends, not both")
	}
	w := &twoWay{out: out, c: c, peer: net.String()}
	defer out.WhenAsked(func() { out.Emit(&show.Note{Message: w.status(), To: show.ForEveryone}) })()
	m := &connector{op: net, net: c.Network, out: out}
	if !net.Listen && net.Kind != conf.SD && net.Kind != conf.FD {
		m.net.Allow, m.net.Deny = nil, nil
	}
	if m.ln == nil && net.Listen {
		m.net.Wait = 0 // -w limits connecting, and here somebody connects to us
	}
	if err := m.prepare(ctx); err != nil {
		return err
	}
	defer m.close()
	conn, err := m.connect(ctx)
	if err != nil {
		return err
	}
	began := time.Now()
	w.conn = conn
	w.began.Store(&began)
	out.Emit(&show.Open{ID: 1, Peer: "-", Target: conn.String()})
	err = w.run(ctx)
	reason := "ended"
	if err != nil {
		reason = err.Error()
	}
	out.Emit(&show.Close{ID: 1, Peer: "-", Target: conn.String(), UpBytes: w.up.Stats.Bytes.Load(), DownBytes: w.down.Stats.Bytes.Load(),
		Seconds: time.Since(began).Seconds(), Reason: reason})
	if err != nil {
		conn.Close()
		return err
	}
	return conn.CloseOrderly()
}

// status is the answer to SIGUSR1.
func (w *twoWay) status() string {
	began := w.began.Load()
	if began == nil {
		return "waiting for a connection"
	}
	return fmt.Sprintf("up %s, down %s in %s", text.Size(w.up.Stats.Bytes.Load()), text.Size(w.down.Stats.Bytes.Load()),
		text.Duration(time.Since(*began)))
}

func (w *twoWay) run(ctx context.Context) error {
	var err error
	if w.in, err = transfer.Inherit(0); err != nil {
		return fmt.Errorf("standard input: %w", exit.Cause(err))
	}
	defer w.in.Close()
	if w.outp, err = transfer.Inherit(1); err != nil {
		return fmt.Errorf("standard output: %w", exit.Cause(err))
	}
	for i, t := range []*transfer.Transfer{&w.up, &w.down} {
		t.PipeSize, t.NoSplice = w.c.BufferSize, w.c.NoSplice
		if w.c.RateLimit > 0 {
			t.Limits = append(t.Limits, &transfer.Limiter{Rate: w.c.RateLimit})
		}
		if w.c.RateTotal > 0 {
			if i == 0 {
				t.Limits = append(t.Limits, &transfer.Limiter{Rate: w.c.RateTotal})
			} else {
				t.Limits = append(t.Limits, w.up.Limits[len(w.up.Limits)-1])
			}
		}
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var wg sync.WaitGroup
	wg.Go(func() { w.watchIdle(ctx, cancel) })
	watching, unwatch := context.WithCancel(ctx)
	var watcher sync.WaitGroup
	watcher.Go(func() { w.watchReader(watching, cancel) })
	w.unwatch = func() { unwatch(); watcher.Wait() }
	defer w.unwatch()
	err = w.both(ctx, cancel)
	cancel(nil)
	wg.Wait()
	if err != nil {
		return err
	}
	return sourceChanged(w.out, w.in, "standard input")
}

var errNobodyReads = errors.New("the peer has ended")

// both moves both ways. The end of one direction is passed on and the other goes on; an
// error of one ends both. The peer's end also ends what a person types: nobody reads it any more.
func (w *twoWay) both(ctx context.Context, cancel context.CancelCauseFunc) error {
	upCtx, endUp := context.WithCancelCause(ctx)
	defer endUp(nil)
	attending, endAttend := context.WithCancel(ctx)
	defer endAttend()
	up := make(chan error, 1)
	go func() {
		err := w.moveUp(upCtx)
		if err == nil { // the peer may read standard input's pages for as long as it answers
			err = w.up.Attend(attending, w.conn.Endpoint, transfer.Neither)
		}
		if err != nil && upCtx.Err() == nil && !reset(err) { // a reset is for the other direction to see, behind the last bytes
			cancel(w.failure(err, false))
		}
		up <- err
	}()
	err := w.moveDown(ctx)
	endAttend()
	if err != nil {
		cancel(w.failure(err, true)) // if it was not that which ended it
		<-up
		return context.Cause(ctx)
	}
	if w.in.Kind() == transfer.Terminal {
		endUp(errNobodyReads)
	}
	if err = w.awaitUp(ctx, up, endUp); ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err == nil || errors.Is(err, errNobodyReads) {
		err = w.up.Flush(ctx, w.conn)
	}
	return w.failure(err, false)
}

// awaitUp waits for the end of our own direction when the peer has ended its own. A peer that
// breaks off meanwhile ends it, also while there is nothing to write that would meet the reset.
func (w *twoWay) awaitUp(ctx context.Context, up <-chan error, endUp context.CancelCauseFunc) error {
	watching, done := context.WithCancel(ctx)
	broken := make(chan error, 1)
	go func() { broken <- transfer.AwaitBroken(watching, w.conn) }()
	select {
	case err := <-up:
		done()
		<-broken
		return err
	case why := <-broken:
		done()
		if why == nil {
			return w.awaitSilence(up, endUp)
		}
		endUp(why)
		if err := <-up; err != nil { // our direction may have ended just now
			return err
		}
		return why
	}
}

// awaitSilence ends our direction when there is nothing to write to a Unix peer that has hung
// up in order, as a terminal's. If there is, the next write fails, and that is no good end.
func (w *twoWay) awaitSilence(up <-chan error, endUp context.CancelCauseFunc) error {
	const long = 50 * time.Millisecond
	tick := time.NewTicker(long)
	defer tick.Stop()
	for {
		select {
		case err := <-up:
			return err
		case <-tick.C:
			if side, since := w.up.Stats.Waiting(); side == transfer.Source && time.Since(since) >= long {
				endUp(errNobodyReads)
				return <-up
			}
		}
	}
}

func reset(err error) bool {
	return errors.Is(err, unix.EPIPE) || errors.Is(err, unix.ECONNRESET)
}

func (w *twoWay) moveUp(ctx context.Context) error {
	if _, err := w.up.Move(ctx, w.conn.Endpoint, w.in, -1); err != nil {
		return err
	}
	return w.conn.EndWrites()
}

func (w *twoWay) moveDown(ctx context.Context) error {
	if _, err := w.down.Move(ctx, w.outp, w.conn.Endpoint, -1); err != nil {
		return err
	}
	w.unwatch() // or it would watch what is closed next
	w.outp.EndOutput(1)
	return nil
}

// watchIdle ends the connection when no byte moved either way for --idle.
func (w *twoWay) watchIdle(ctx context.Context, cancel context.CancelCauseFunc) {
	if w.c.Idle <= 0 {
		return
	}
	tick := time.NewTicker(max(w.c.Idle/8, time.Millisecond))
	defer tick.Stop()
	last, since := int64(-1), time.Now()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			if n := w.up.Stats.Bytes.Load() + w.down.Stats.Bytes.Load(); n != last {
				last, since = n, now
			} else if now.Sub(since) >= w.c.Idle {
				cancel(w.failure(transfer.ErrIdle, false))
				return
			}
		}
	}
}

// watchReader ends everything when nobody reads our output any more, also while there is
// nothing to write to it.
func (w *twoWay) watchReader(ctx context.Context, cancel context.CancelCauseFunc) {
	if w.outp.Kind().Socket() { // a socket that has ended its own direction may still read
		return
	}
	if transfer.AwaitHangup(ctx, w.outp) == nil && ctx.Err() == nil { // ctx ends when the output does
		cancel(exit.StdoutClosed)
	}
}

// failure puts an error of one direction in words, with the status that send and recv give it.
func (w *twoWay) failure(err error, down bool) error {
	at := exit.Where{Place: exit.Connected, Subject: "- to " + w.peer,
		After: text.Size(w.up.Stats.Bytes.Load()) + " up and " + text.Size(w.down.Stats.Bytes.Load()) + " down"}
	if side, ok := errors.AsType[*transfer.Error](err); ok {
		err = side.Err
		switch {
		case down && side.Side == transfer.Destination:
			at.Place, at.Subject = exit.Stdout, "standard output"
		case !down && side.Side == transfer.Source:
			at.Place, at.Subject = exit.Local, "standard input"
		}
	}
	return exit.Classify(err, at)
}
