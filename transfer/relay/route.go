package relay

import (
	"context"
	"slices"
	"sync/atomic"
	"time"
)

// A Target is where connections are made to, as in transfer.Dialer.Dial.
type Target struct{ Network, Address string }

// passOver is how long a target that has failed is passed over. Then one client tries it again.
var passOver = 10 * time.Second // a variable for tests

// A route is the targets of a listener.
type route struct {
	targets []*target
	turn    atomic.Uint64 // clients that were spread over them
}

// openRoutes resolves the targets of n listeners. Those that are the same are one: what is known of
// a target holds for all listeners.
func (r *Relay) openRoutes(ctx context.Context, n int) ([]*route, error) {
	known := make(map[Target]*target)
	routes := r.Routes
	if len(routes) == 0 {
		routes = slices.Repeat([][]Target{{{r.Network, r.Address}}}, n)
	}
	all := make([]*route, len(routes))
	for i, of := range routes {
		all[i] = new(route)
		for _, where := range of {
			t := known[where]
			if t == nil {
				var err error
				if t, err = resolveTarget(ctx, where.Network, where.Address); err != nil {
					return nil, err
				}
				if t.host != "" {
					t.name = r.lookups.name(t.network, t.host)
				}
				known[where] = t
				r.targets = append(r.targets, t)
			}
			all[i].targets = append(all[i].targets, t)
		}
	}
	return all, nil
}

// order appends to ts the targets in the order in which a client tries them, and returns how many
// of them have not failed lately; the others come last.
func (p *route) order(now int64, spread bool, ts []*target) ([]*target, int) {
	if len(p.targets) == 1 {
		return append(ts, p.targets[0]), 1
	}
	for _, t := range p.targets {
		if t.mayTry(now) {
			ts = append(ts, t)
		}
	}
	good := len(ts)
	if spread && good > 1 {
		first := int((p.turn.Add(1) - 1) % uint64(good))
		ts = append(ts, ts[:first]...)
		ts = append(ts[:0], ts[first:]...)
	}
	for _, t := range p.targets {
		if !slices.Contains(ts[:good], t) {
			ts = append(ts, t)
		}
	}
	return ts, good
}

// mayTry tells whether a target is not passed over. When the time to pass it over has ended it tells one
// client so, and the others when that one has reached it.
func (t *target) mayTry(now int64) bool {
	until := t.failedUntil.Load()
	return until == 0 || now >= until && t.failedUntil.CompareAndSwap(until, now+int64(passOver))
}

// failed has a target passed over from now on.
func (t *target) failed(now int64) {
	t.figures.failed.Add(1)
	t.failedUntil.Store(now + int64(passOver))
}

// reached counts a connection to a target.
func (t *target) reached() {
	if t.failedUntil.Load() != 0 {
		t.failedUntil.Store(0)
	}
	t.figures.open.Add(1)
	t.figures.total.Add(1)
}

// figures are what passes a listener, or a target. Loops share them.
type figures struct {
	open, total, failed atomic.Int64
	bytes               [2]atomic.Int64 // up, down
}

// Figures are the counts of one listener or of one target.
type Figures struct {
	Addr       string
	Open       int   // connections now
	Total      int64 // connections accepted, or made
	Failed     int64 // targets: times that it refused, did not answer or was not found
	Up, Down   int64 // bytes delivered to the targets and to the clients
	PassedOver bool  // targets: it has failed lately, and others are tried first
}

func (f *figures) read(addr string) Figures {
	return Figures{Addr: addr, Open: int(f.open.Load()), Total: f.total.Load(), Failed: f.failed.Load(),
		Up: f.bytes[upFlow].Load(), Down: f.bytes[downFlow].Load()}
}

// Listeners returns the figures of each listener, in the order of Serve.
func (r *Relay) Listeners() []Figures {
	r.mu.Lock()
	defer r.mu.Unlock()
	var all []Figures
	for _, s := range r.socks {
		all = append(all, s.figures.read(s.addr))
	}
	return all
}

// Targets returns the figures of each target, in the order of Routes.
func (r *Relay) Targets() []Figures {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := int64(time.Since(r.base))
	var all []Figures
	for _, t := range r.targets {
		f := t.figures.read(t.String())
		f.PassedOver = t.failedUntil.Load() > now
		all = append(all, f)
	}
	return all
}
