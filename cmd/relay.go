package cmd

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/zcp-go/zcp/cmd/conf"
	"github.com/zcp-go/zcp/cmd/exit"
	"github.com/zcp-go/zcp/cmd/show"
	"github.com/zcp-go/zcp/cmd/text"
	"github.com/zcp-go/zcp/transfer"
	"github.com/zcp-go/zcp/transfer/rate"
	"github.com/zcp-go/zcp/transfer/relay"
)

// runRelay gives every client of LISTEN a connection of its own to TARGET. It ends by a
// signal: SIGTERM lets running connections end, SIGINT does not.
func runRelay(ctx context.Context, out *show.Printer, c *conf.Relay) error {
	if err := checkCongestion(c.Congestion); err != nil {
		return err
	}
	if c.Listen.Kind == conf.Stdio || c.Target.Kind == conf.Stdio {
		return relayStdio(ctx, out, c)
	}
	if err := refuseItself(c); err != nil {
		return err
	}
	lns, err := relayListeners(ctx, out, c)
	if err != nil {
		return err
	}
	if msg := relayCongestion(c.Congestion); msg != "" && (c.Verbose || c.Explain) {
		out.Explain("plan", "%s", msg)
		if !c.Explain {
			out.Detail("%s", msg)
		}
	}
	if err := refuseItself(c, addresses(lns)...); err != nil {
		closeAll(lns)
		return err
	}
	log := newRelayLog(out, c)
	r := &relay.Relay{
		Network: family(c.Target, c.Network), Address: address(c.Target),
		Dialer: transfer.Dialer{Bind: bindText(c.Network), Wait: c.Wait, RetryFor: c.RetryFor, Congestion: c.Congestion},
		Gate:   transfer.Gate{Allow: c.Allow, Deny: c.Deny}, MaxConns: c.MaxConns,
		Idle: c.Idle, HalfClose: c.HalfClose, ExitIdle: c.ExitIdle,
		PipeSize: c.BufferSize, NoSplice: c.NoSplice, OnEvent: log.add, Brief: !c.Verbose && !c.JSON,
	}
	if c.RateLimit > 0 {
		r.Limit = func() *rate.Limiter { return &rate.Limiter{Rate: c.RateLimit} }
	}
	if c.RateTotal > 0 {
		r.Total = &rate.Limiter{Rate: c.RateTotal}
	}
	stats, err := serveStats(ctx, out, c, r)
	if err != nil {
		closeAll(lns)
		return err
	}
	defer stats.close()
	log.watch(r)
	defer log.close()
	return relayEnd(out, c, serveUntilSignal(ctx, r, c, lns))
}

func addresses(lns []*transfer.Listener) (as []net.Addr) {
	for _, ln := range lns {
		as = append(as, ln.Addr())
	}
	return as
}

func closeAll(lns []*transfer.Listener) {
	for _, ln := range lns {
		ln.Close()
	}
}

// relayListeners opens LISTEN, or takes over the sockets that it stands for.
func relayListeners(ctx context.Context, out *show.Printer, c *conf.Relay) ([]*transfer.Listener, error) {
	m := &connector{op: c.Listen, net: c.Network, out: out}
	if c.Listen.Kind != conf.SD {
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
		m.announce(ln.Addr())
		lns = append(lns, ln)
	}
	return lns, nil
}

// serveUntilSignal runs the relay. The first SIGTERM drains it; main ends the process at the second.
func serveUntilSignal(ctx context.Context, r *relay.Relay, c *conf.Relay, lns []*transfer.Listener) error {
	serving, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	defer cancel(nil)
	stopping := sync.OnceFunc(func() { notifySystemd("STOPPING=1") })
	defer stopping() // --exit-idle, or an error
	stop := context.AfterFunc(ctx, func() {
		stopping()
		if sig, ok := errors.AsType[*exit.Signaled](context.Cause(ctx)); ok && sig.Signal == unix.SIGTERM {
			r.Drain(c.Drain)
			return
		}
		cancel(context.Cause(ctx))
	})
	defer stop()
	notifySystemd("READY=1")
	return r.Serve(serving, lns...)
}

// relayEnd gives the end its words and status. A relay that was told to stop and had to cut
// connections dies of that signal: a service manager takes this for the end that it asked for.
func relayEnd(out *show.Printer, c *conf.Relay, err error) error {
	if errors.Is(err, relay.ErrDrain) {
		ended := &exit.Signaled{Signal: unix.SIGTERM}
		out.Emit(&show.Trouble{Error: fmt.Sprintf("connections were still open after --drain %s, and were reset", text.Duration(c.Drain)),
			Status: ended.ExitStatus()})
		return ended
	}
	return exit.Classify(err, exit.Where{Place: exit.Listening, Subject: c.Listen.String() + " to " + c.Target.String()})
}
