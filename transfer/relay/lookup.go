package relay

import (
	"context"
	"net"
	"net/netip"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/zcp-go/zcp/transfer/internal/sock"
)

// A target is what all connections are made to.
type target struct {
	network string // as net.Resolver.LookupNetIP calls it: ip, ip4, ip6
	host    string // a name to look up for each connection; "" where addrs holds a literal address
	port    uint16
	addrs   []netip.AddrPort
	path    string // of a Unix socket
}

// resolveTarget reads a target. The port is looked up here, once.
func resolveTarget(ctx context.Context, network, address string) (target, error) {
	if network == "unix" {
		return target{path: address}, nil
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return target{}, err
	}
	n, err := net.DefaultResolver.LookupPort(ctx, network, port)
	if err != nil {
		return target{}, err
	}
	g := target{host: host, port: uint16(n), network: map[string]string{"tcp4": "ip4", "tcp6": "ip6"}[network]}
	if g.network == "" {
		g.network = "ip"
	}
	if ip, err := netip.ParseAddr(host); err == nil {
		if ip = ip.Unmap(); network == "tcp4" && ip.Is6() || network == "tcp6" && ip.Is4() {
			return target{}, &net.AddrError{Err: "not an address of this family", Addr: host}
		}
		g.host, g.addrs = "", []netip.AddrPort{netip.AddrPortFrom(ip, g.port)}
	}
	return g, nil
}

// lookUp finds the addresses of a name, best first.
func (g *target) lookUp(ctx context.Context) ([]netip.AddrPort, error) {
	ips, err := sock.LookUp(ctx, g.network, g.host)
	addrs := make([]netip.AddrPort, 0, len(ips))
	for _, ip := range ips {
		addrs = append(addrs, netip.AddrPortFrom(ip, g.port))
	}
	return addrs, err
}

// lookups finds the target's addresses for the links that ask. Each lookup takes
// descriptors that no link has, so at most mostLookups run at once; links that ask later
// share the next one. It begins after they asked, so no answer is older than its question.
type lookups struct {
	ctx     context.Context // ends with the relay
	mu      sync.Mutex
	running int
	waiting []func([]netip.AddrPort, error)
}

const (
	mostLookups = 4
	eachLookup  = 2 // descriptors: it asks for the addresses of both families at once
)

// findTarget calls ready with the target's addresses, on another goroutine.
func (r *Relay) findTarget(ready func([]netip.AddrPort, error)) {
	u := &r.lookups
	u.mu.Lock()
	defer u.mu.Unlock()
	u.waiting = append(u.waiting, ready)
	if u.running < mostLookups {
		u.running++
		go r.lookUpForAll()
	}
}

// lookUpForAll looks up until no link waits for an answer.
func (r *Relay) lookUpForAll() {
	u := &r.lookups
	for {
		u.mu.Lock()
		all := u.waiting
		u.waiting = nil
		if len(all) == 0 {
			u.running--
			u.mu.Unlock()
			return
		}
		u.mu.Unlock()
		addrs, err := r.lookUpOnce()
		for _, ready := range all {
			ready(addrs, err)
		}
	}
}

// lookUpOnce looks up. Descriptors that have run out, or do so meanwhile, are an error of their
// own: the resolver would report them as a name that does not exist.
func (r *Relay) lookUpOnce() ([]netip.AddrPort, error) {
	if err := fdsFree(eachLookup); err != nil {
		return nil, err
	}
	ctx := r.lookups.ctx
	if r.Dialer.Wait > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, r.Dialer.Wait) // no link waits longer
		defer cancel()
	}
	addrs, err := r.lookUp(ctx)
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
	d.lookingUp, d.until = true, d.giveUp
	d.lookupSeq++
	seq := d.lookupSeq
	k.schedule(d.until)
	l.r.findTarget(func(addrs []netip.AddrPort, err error) {
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
	if passes(err) && (d.giveUp == 0 || l.now < d.giveUp) {
		l.releaseReserve()
		l.starve(err) // until the reserve can be filled again
		k.backOff()
		return
	}
	d.lookingUp, d.addrs, d.next, d.left, d.err = false, addrs, 0, len(addrs), err
	k.tryNext()
}
