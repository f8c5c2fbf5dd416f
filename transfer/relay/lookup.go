package relay

import (
	"context"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/zcp-go/zcp/transfer/internal/sock"
)

// A target is what connections are made to.
type target struct {
	network string // as net.Resolver.LookupNetIP calls it: ip, ip4, ip6
	host    string // a name to look up for each connection; "" where addrs holds a literal address
	name    *name  // of host
	port    uint16
	addrs   []netip.AddrPort
	path    string // of a Unix socket

	failedUntil atomic.Int64 // it is passed over until then, on the loops' clock; 0: it has not failed
	figures     figures
}

func (g *target) String() string {
	switch {
	case g.path != "":
		return "unix:" + g.path
	case g.host != "":
		return net.JoinHostPort(g.host, strconv.Itoa(int(g.port)))
	}
	return g.addrs[0].String()
}

// resolveTarget reads a target. The port is looked up here, once.
func resolveTarget(ctx context.Context, network, address string) (*target, error) {
	if network == "unix" {
		return &target{path: address}, nil
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	n, err := net.DefaultResolver.LookupPort(ctx, network, port)
	if err != nil {
		return nil, err
	}
	g := &target{host: host, port: uint16(n), network: map[string]string{"tcp4": "ip4", "tcp6": "ip6"}[network]}
	if g.network == "" {
		g.network = "ip"
	}
	if ip, err := netip.ParseAddr(host); err == nil {
		if ip = ip.Unmap(); network == "tcp4" && ip.Is6() || network == "tcp6" && ip.Is4() {
			return nil, &net.AddrError{Err: "not an address of this family", Addr: host}
		}
		g.host, g.addrs = "", []netip.AddrPort{netip.AddrPortFrom(ip, g.port)}
	}
	return g, nil
}

// A name is looked up for the targets that have it. Targets of a range share one.
type name struct {
	network, host string
	waiting       []func([]netip.AddrPort, error)
	running       int  // lookups of it
	queued        bool // it is in lookups.queue
}

// lookUp finds the addresses of a name, best first, without a port.
func (n *name) lookUp(ctx context.Context) ([]netip.AddrPort, error) {
	ips, err := sock.LookUp(ctx, n.network, n.host)
	addrs := make([]netip.AddrPort, 0, len(ips))
	for _, ip := range ips {
		addrs = append(addrs, netip.AddrPortFrom(ip, 0))
	}
	return addrs, err
}

type nameKey struct{ network, host string }

// lookups finds addresses for the links that ask. Each lookup takes descriptors that no link has,
// so at most mostLookups run at once, shared among the names; links that ask later share the next
// one. It begins after they asked, so no answer is older than its question.
type lookups struct {
	ctx     context.Context // ends with the relay
	mu      sync.Mutex
	names   map[nameKey]*name
	running atomic.Int32 // changed with mu held
	queue   []*name
}

const (
	mostLookups = 4
	eachLookup  = 2 // descriptors: it asks for the addresses of both families at once
)

// name returns the one name for a host. It is called before there are links.
func (u *lookups) name(network, host string) *name {
	n := u.names[nameKey{network, host}]
	if n == nil {
		n = &name{network: network, host: host}
		if u.names == nil {
			u.names = make(map[nameKey]*name)
		}
		u.names[nameKey{network, host}] = n
	}
	return n
}

// find calls ready with a name's addresses, on another goroutine.
func (r *Relay) find(n *name, ready func([]netip.AddrPort, error)) {
	u := &r.lookups
	u.mu.Lock()
	defer u.mu.Unlock()
	n.waiting = append(n.waiting, ready)
	u.enqueue(n)
	if len(u.queue) > 0 && u.running.Load() < mostLookups {
		u.running.Add(1)
		go r.lookUpForAll()
	}
}

// enqueue has a name looked up, if links wait for it and it has not its share of lookups already.
func (u *lookups) enqueue(n *name) {
	if share := max(1, mostLookups/len(u.names)); !n.queued && len(n.waiting) > 0 && n.running < share {
		n.queued = true
		u.queue = append(u.queue, n)
	}
}

// lookUpForAll looks up until no link waits for an answer.
func (r *Relay) lookUpForAll() {
	u := &r.lookups
	u.mu.Lock()
	defer u.mu.Unlock()
	for len(u.queue) > 0 {
		n := u.queue[0]
		u.queue = u.queue[1:]
		all := n.waiting
		n.queued, n.waiting = false, nil
		n.running++
		u.mu.Unlock()
		addrs, err := r.lookUpOnce(n)
		for _, ready := range all {
			ready(addrs, err)
		}
		u.mu.Lock()
		n.running--
		u.enqueue(n)
	}
	u.running.Add(-1)
}

// lookUpOnce looks up. Descriptors that have run out, or do so meanwhile, are an error of their
// own: the resolver would report them as a name that does not exist.
func (r *Relay) lookUpOnce(n *name) ([]netip.AddrPort, error) {
	if err := fdsFree(eachLookup); err != nil {
		return nil, err
	}
	ctx := r.lookups.ctx
	if r.Dialer.Wait > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, r.Dialer.Wait) // no link waits longer
		defer cancel()
	}
	lookUp := n.lookUp
	if r.lookUp != nil {
		lookUp = r.lookUp
	}
	addrs, err := lookUp(ctx)
	if err == nil {
		return addrs, nil
	}
	if out := fdsFree(eachLookup); out != nil {
		return nil, out
	}
	for _, out := range []error{unix.EMFILE, unix.ENFILE} { // the resolver passes on no more than the words
		if strings.Contains(err.Error(), out.Error()) {
			return nil, out
		}
	}
	return nil, err
}

// lookUp asks for the addresses of a link's target.
func (k *link) lookUp() {
	l := k.loop
	d, generation := k.dial, k.generation
	d.lookingUp, d.until = true, d.limit
	d.lookupSeq++
	seq := d.lookupSeq
	k.schedule(d.until)
	l.r.find(k.target.name, func(addrs []netip.AddrPort, err error) {
		l.post(func(l *loop) {
			if d := k.dial; k.generation == generation && d != nil && d.lookingUp && d.lookupSeq == seq {
				k.lookedUp(addrs, err)
			} // otherwise the client went away meanwhile, or has waited too long
		})
	})
}

// lookedUp handles the answer of a lookup.
func (k *link) lookedUp(addrs []netip.AddrPort, err error) {
	l := k.loop
	d := k.dial
	if passes(err) && (d.limit == 0 || l.now < d.limit) {
		l.releaseReserve()
		l.starve(err) // until the reserve can be filled again
		k.backOff()
		return
	}
	d.lookingUp, d.addrs, d.next, d.left, d.err = false, addrs, 0, len(addrs), err
	k.tryNext()
}
