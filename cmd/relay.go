package cmd

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/zcp-go/zcp/transfer"
)

// runRelay gives every client of LISTEN a connection of its own to TARGET. It ends by a
// signal: SIGTERM lets running connections end, SIGINT does not.
func runRelay(ctx context.Context, out *Printer, c *RelayConfig) error {
	if c.Listen.Kind == Stdio || c.Target.Kind == Stdio {
		return relayStdio(ctx, out, c)
	}
	lns, err := relayListeners(ctx, out, c)
	if err != nil {
		return err
	}
	log := newRelayLog(out, c)
	r := &transfer.Relay{
		Network: family(c.Target, c.Network), Address: address(c.Target),
		Dialer: transfer.Dialer{Bind: bindText(c.Network), Wait: c.Wait, RetryFor: c.RetryFor},
		Gate:   transfer.Gate{Allow: c.Allow, Deny: c.Deny}, MaxConns: c.MaxConns,
		Idle: c.Idle, HalfClose: c.HalfClose, ExitIdle: c.ExitIdle,
		PipeSize: c.BufferSize, NoSplice: c.NoSplice, Tell: log.tell, Terse: !c.Verbose && !c.JSON,
	}
	if c.RateLimit > 0 {
		r.Limit = func() *transfer.Limiter { return &transfer.Limiter{Rate: c.RateLimit} }
	}
	if c.RateTotal > 0 {
		r.Total = &transfer.Limiter{Rate: c.RateTotal}
	}
	stats, err := serveStats(ctx, out, c, r)
	if err != nil {
		for _, ln := range lns {
			ln.Close()
		}
		return err
	}
	defer stats.close()
	log.watch(r)
	defer log.close()
	return relayEnd(c, serveUntilSignal(ctx, r, c, lns))
}

// relayListeners opens LISTEN, or takes over the sockets that it stands for.
func relayListeners(ctx context.Context, out *Printer, c *RelayConfig) ([]*transfer.Listener, error) {
	m := &meeting{op: c.Listen, net: c.Network, out: out}
	if c.Listen.Kind != SD {
		if err := m.prepare(ctx); err != nil {
			return nil, err
		}
		if m.ln == nil {
			return nil, fmt.Errorf("%s: does not listen", c.Listen)
		}
		return []*transfer.Listener{m.ln}, nil
	}
	fds, err := activationFDs(c.Listen.Name)
	if err != nil {
		return nil, m.failure(err)
	}
	var lns []*transfer.Listener
	for _, fd := range fds {
		if !transfer.Listening(fd) {
			return nil, fmt.Errorf("%s: descriptor %d does not listen", c.Listen, fd)
		}
		ln, err := transfer.InheritListener(fd)
		if err != nil {
			return nil, m.failure(err)
		}
		addr, port := splitAddr(ln.Addr())
		out.Emit(&Listening{Addr: addr, Port: port})
		lns = append(lns, ln)
	}
	return lns, nil
}

// serveUntilSignal runs the relay. The first SIGTERM drains it; main ends the process at the second.
func serveUntilSignal(ctx context.Context, r *transfer.Relay, c *RelayConfig, lns []*transfer.Listener) error {
	serving, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	defer cancel(nil)
	stopping := sync.OnceFunc(func() { notifySystemd("STOPPING=1") })
	defer stopping() // --exit-idle, or an error
	stop := context.AfterFunc(ctx, func() {
		stopping()
		if sig, ok := errors.AsType[*Signaled](context.Cause(ctx)); ok && sig.Signal == unix.SIGTERM {
			r.Drain(c.Drain)
			return
		}
		cancel(context.Cause(ctx))
	})
	defer stop()
	notifySystemd("READY=1")
	return r.Serve(serving, lns...)
}

func relayEnd(c *RelayConfig, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, transfer.ErrDrain):
		return fmt.Errorf("connections were still open after --drain %s, and were reset", FormatDuration(c.Drain))
	}
	if _, ok := errors.AsType[*Signaled](err); ok {
		return err
	}
	return fmt.Errorf("%s to %s: %w", c.Listen, c.Target, innermost(err))
}

// notifySystemd tells the service manager how we are (sd_notify(3)). Nobody listens where
// NOTIFY_SOCKET is not set, and an error there is nothing that clients should suffer from.
func notifySystemd(state string) {
	name := os.Getenv("NOTIFY_SOCKET")
	if name == "" {
		return
	}
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM, 0)
	if err != nil {
		return
	}
	defer unix.Close(fd)
	_ = unix.Sendto(fd, []byte(state), unix.MSG_DONTWAIT, &unix.SockaddrUnix{Name: name})
}

// relayLog tells what a relay does. The event loops hand their events over without
// waiting: whoever reads our stderr must not be able to stop them.
type relayLog struct {
	out    *Printer
	c      *RelayConfig
	events chan transfer.RelayEvent
	lost   chan struct{} // a token for each event that was dropped
	quit   chan struct{}
	done   chan struct{}
	asked  chan struct{}
	tstp   chan os.Signal // only where there is a line to take away
	screen screen         // nil: no line
	begun  bool           // it serves
}

const relayLogBuffer = 4096 // events that may wait for a slow reader of stderr

func newRelayLog(out *Printer, c *RelayConfig) *relayLog {
	l := &relayLog{out: out, c: c, events: make(chan transfer.RelayEvent, relayLogBuffer), lost: make(chan struct{}, 1<<20),
		quit: make(chan struct{}), done: make(chan struct{}), asked: make(chan struct{}, 1), tstp: make(chan os.Signal, 1)}
	if t, ok := terminalOf(out.W, os.LookupEnv); ok && !t.dumb && !c.Quiet && !c.JSON {
		l.screen = t
		if !signal.Ignored(unix.SIGTSTP) {
			signal.Notify(l.tstp, unix.SIGTSTP)
		}
	}
	out.onAsk(func() { mark(l.asked) })
	return l
}

func (l *relayLog) tell(e transfer.RelayEvent) {
	select {
	case l.events <- e:
	default:
		mark(l.lost) // a million lost lines are as good as more
	}
}

func (l *relayLog) watch(r *transfer.Relay) { go l.run(r) }

// close waits until everything is told.
func (l *relayLog) close() {
	l.out.onAsk(nil)
	signal.Stop(l.tstp)
	close(l.quit)
	<-l.done
}

func (l *relayLog) run(r *transfer.Relay) {
	defer close(l.done)
	defer withoutStop(l.out.clear)
	var tick <-chan time.Time
	line := relayLine{from: l.c.Listen.String(), to: l.c.Target.String()}
	if l.screen != nil {
		t := time.NewTicker(relayLineInterval)
		defer t.Stop()
		tick = t.C
	}
	l.explain("plan", r.Totals())
	for {
		select {
		case e := <-l.events:
			l.print(r, e)
		case <-l.asked:
			l.status(r)
		case <-l.tstp:
			withoutStop(l.out.clear)
			suspend()
		case now := <-tick:
			if text := line.render(r.Totals(), now, l.screen.columns()); l.screen.drawable() {
				withoutStop(func() { l.out.draw(text, l.screen) })
			} else {
				l.out.forget()
			}
		case <-l.quit:
			l.last(r)
			return
		}
	}
}

// last tells what is left to tell.
func (l *relayLog) last(r *transfer.Relay) {
	for {
		select {
		case e := <-l.events:
			l.print(r, e)
			continue
		default:
		}
		if n := len(l.lost); n > 0 {
			l.out.Say("%s lines of the log were dropped: nobody read them in time", grouped(int64(n)))
		}
		t := r.Totals()
		l.out.Emit(totalsOf(t, ForVerbose))
		l.explain("ran", t)
		return
	}
}

func (l *relayLog) explain(when string, t transfer.RelayTotals) {
	if !l.c.Explain {
		return
	}
	text := "each direction through memory while its steps are small, by splice through a borrowed pipe of " + FormatSize(int64(l.c.BufferSize)) + " while they are large"
	if l.c.NoSplice {
		text = "each direction through memory"
	}
	if when == "ran" {
		text = fmt.Sprintf("up %s, down %s in %s connections; %s times no pipe was to be had", FormatSize(t.Up), FormatSize(t.Down),
			grouped(t.Closed), grouped(t.NoPipe))
	}
	l.out.Emit(&Explained{When: when, Text: text})
}
