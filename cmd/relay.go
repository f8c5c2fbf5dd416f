package cmd

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/zcp-go/zcp/cmd/conf"
	"github.com/zcp-go/zcp/cmd/exit"
	"github.com/zcp-go/zcp/cmd/show"
	"github.com/zcp-go/zcp/cmd/text"
	"github.com/zcp-go/zcp/transfer"
	"github.com/zcp-go/zcp/transfer/rate"
	"github.com/zcp-go/zcp/transfer/relay"
)

// runRelay gives every client of a LISTEN a connection of its own to its TARGET. It ends by a
// signal: SIGTERM lets running connections end, SIGINT does not.
func runRelay(ctx context.Context, out *show.Printer, c *conf.Relay) error {
	useProcessors() // it has a loop for each
	if err := checkCongestion(c.Congestion); err != nil {
		return err
	}
	if c.Stdio() {
		return relayStdio(ctx, out, c)
	}
	if err := refuseItself(c); err != nil {
		return err
	}
	if err := checkAsClient(c); err != nil {
		return err
	}
	taken, err := takeOver(out, c.Takeover)
	if err != nil {
		return err
	}
	defer taken.close()
	lns, routes, err := relayListeners(ctx, out, c, taken)
	if err != nil {
		return err
	}
	if msg := relayCongestion(c.Congestion); msg != "" {
		sayPlan(out, "", msg)
	}
	if err := refuseItself(c, addresses(lns)...); err != nil {
		closeAll(lns)
		return err
	}
	log := newRelayLog(out, c)
	r := newRelay(c, routes)
	r.OnEvent = log.add
	stats, err := serveStats(ctx, out, c, r, taken)
	if err != nil {
		closeAll(lns)
		return err
	}
	defer stats.close()
	r.OnEvent = func(e relay.Event) {
		if e.Kind == relay.Listening {
			taken.serving(r, stats, c.Drain)
		}
		log.add(e)
	}
	log.watch(r)
	defer log.close()
	return relayEnd(out, c, serveUntilSignal(ctx, r, c, stats, taken, lns))
}

// checkAsClient says at once that the process may not do what --as-client needs.
func checkAsClient(c *conf.Relay) error {
	if !c.AsClient {
		return nil
	}
	if err := relay.CheckAsClient(); err != nil {
		return fmt.Errorf("--as-client: needs CAP_NET_ADMIN or CAP_NET_RAW: %w", exit.Cause(err))
	}
	return nil
}

// newRelay makes the relay that was asked for.
func newRelay(c *conf.Relay, routes [][]relay.Target) *relay.Relay {
	r := &relay.Relay{
		Routes: routes, Spread: c.Spread, SendProxy: c.SendProxy, AcceptProxy: c.From.Networks, AcceptProxyUnix: c.From.Unix,
		AsClient: c.AsClient,
		Dialer:   transfer.Dialer{Bind: bindText(c.Network), Wait: c.Wait, RetryFor: c.RetryFor, Congestion: c.Congestion, DSCP: c.DSCP},
		Gate:     transfer.Gate{Allow: c.Allow, Deny: c.Deny}, MaxConns: c.MaxConns,
		Idle: c.Idle, HalfClose: c.HalfClose, ExitIdle: c.ExitIdle,
		PipeSize: c.BufferSize, NoSplice: c.NoSplice, Brief: !c.Verbose && !c.JSON, Alone: true,
	}
	if c.RateLimit > 0 {
		r.Limit = func() *rate.Limiter { return &rate.Limiter{Rate: c.RateLimit} }
	}
	if c.RateTotal > 0 {
		r.Total = &rate.Limiter{Rate: c.RateTotal}
	}
	return r
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

// relayListeners opens every LISTEN, or takes over the sockets that it stands for, and returns the
// targets of each.
func relayListeners(ctx context.Context, out *show.Printer, c *conf.Relay, taken *takeover) (lns []*transfer.Listener, routes [][]relay.Target, err error) {
	for _, p := range c.Pairs {
		m := &connector{op: p.Listen, net: c.Network, out: out, taken: true}
		some, err := pairListeners(ctx, m, p, taken)
		lns = append(lns, some...)
		if err == nil {
			err = m.classify(some)
		}
		if err != nil {
			closeAll(lns)
			return nil, nil, err
		}
		if p.Listen.Ports > 1 {
			m.announceRange(some)
		} else {
			for _, ln := range some {
				m.announce(ln.Addr())
			}
		}
		for i := range some {
			var route []relay.Target
			for _, t := range p.Targets {
				t = t.Nth(i)
				route = append(route, relay.Target{Network: family(t, c.Network), Address: address(t)})
			}
			routes = append(routes, route)
		}
	}
	return lns, routes, nil
}

// classify gives what listeners accept the traffic class that was asked for.
func (c *connector) classify(lns []*transfer.Listener) error {
	for _, ln := range lns {
		if c.net.DSCP == 0 {
			break
		}
		if err := ln.SetDSCP(c.net.DSCP); err != nil {
			return c.failure(err)
		}
	}
	return nil
}

// pairListeners opens the listeners of one pair, which are several for a range and for sd:.
func pairListeners(ctx context.Context, m *connector, p conf.Pair, taken *takeover) (lns []*transfer.Listener, err error) {
	if p.Listen.Kind == conf.SD {
		return sdListeners(m)
	}
	if taken != nil && len(taken.got) > 0 && p.Listen.Kind != conf.FD {
		return takenListeners(ctx, m, p, taken)
	}
	n := max(1, p.Listen.Ports)
	all, errs := make([]*transfer.Listener, n), make([]error, n)
	var group sync.WaitGroup
	for first := range min(n, openers) { // thousands of ports: their system calls are most of the start
		group.Go(func() {
			for i := first; i < n; i += openers {
				one := &connector{op: p.Listen.Nth(i), net: m.net, out: m.out, taken: true}
				if all[i], errs[i] = one.listener(ctx); errs[i] != nil {
					return
				}
			}
		})
	}
	group.Wait()
	for i, ln := range all {
		if ln != nil {
			lns = append(lns, ln)
		}
		if err == nil {
			err = errs[i]
		}
	}
	return lns, err
}

const openers = 4 // goroutines that open the listeners of a range

// takenListeners is pairListeners where another relay has passed its listeners: those of the same address are
// taken, others are opened.
func takenListeners(ctx context.Context, m *connector, p conf.Pair, taken *takeover) (lns []*transfer.Listener, err error) {
	for i := range max(1, p.Listen.Ports) {
		one := &connector{op: p.Listen.Nth(i), net: m.net, out: m.out, taken: true}
		var ln *transfer.Listener
		if s, ok := taken.take("listen", keysOf(ctx, one.op, one.net)...); ok {
			ln, err = transfer.AdoptListener(s.fd, s.Inherited)
		} else {
			ln, err = one.listener(ctx)
		}
		if err != nil {
			return lns, err
		}
		lns = append(lns, ln)
	}
	return lns, nil
}

// listener opens one listener.
func (c *connector) listener(ctx context.Context) (*transfer.Listener, error) {
	if c.op.Kind != conf.FD {
		ln, err := c.listen(ctx)
		if err != nil {
			return nil, c.failure(err)
		}
		return ln, nil
	}
	if err := c.adopt(); err != nil {
		return nil, c.failure(err)
	}
	if c.ln == nil {
		return nil, fmt.Errorf("%s: does not listen", c.op)
	}
	return c.ln, nil
}

func sdListeners(m *connector) (lns []*transfer.Listener, err error) {
	fds, err := activationFDs(m.op.Name)
	if err != nil {
		return nil, m.failure(err)
	}
	for _, fd := range fds {
		if !transfer.Listening(fd) {
			return lns, fmt.Errorf("%s: descriptor %d does not listen", m.op, fd)
		}
		ln, err := transfer.InheritListener(fd)
		if err != nil {
			return lns, m.failure(err)
		}
		lns = append(lns, ln)
	}
	return lns, nil
}

// announceRange says where the listeners of a range wait.
func (c *connector) announceRange(lns []*transfer.Listener) {
	first, ok := lns[0].Addr().(*net.TCPAddr)
	if !ok {
		return
	}
	c.out.Emit(&show.Listening{Addr: fmt.Sprintf("%s-%d", first, first.Port+len(lns)-1), Port: first.Port})
}

// serveUntilSignal runs the relay. The first SIGTERM drains it; main ends the process at the second.
func serveUntilSignal(ctx context.Context, r *relay.Relay, c *conf.Relay, stats *statsServer, taken *takeover, lns []*transfer.Listener) error {
	serving, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	defer cancel(nil)
	stopping := sync.OnceFunc(func() {
		if taken == nil || !taken.passed.Load() { // the service goes on in the process that has taken over
			notifySystemd("STOPPING=1")
		}
	})
	defer stopping() // --exit-idle, or an error
	stop := context.AfterFunc(ctx, func() {
		stopping()
		stats.leave()
		if sig, ok := errors.AsType[*exit.Signaled](context.Cause(ctx)); ok && sig.Signal == unix.SIGTERM {
			// Load balancers need a while to notice /readyz; clients that come until then are served.
			time.AfterFunc(c.Grace, func() { r.Drain(c.Drain) })
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
	return exit.Classify(err, exit.Where{Place: exit.Listening, Subject: c.What()})
}
