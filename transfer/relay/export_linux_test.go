package relay

import (
	"context"
	"net/netip"
	"time"

	"github.com/zcp-go/zcp/transfer/internal/sock"
)

// Pollers are what a relay's loops can wait with: epoll, and the poll(2) of other systems.
var Pollers = map[string]func(*Relay){
	"epoll": func(*Relay) {},
	"poll":  func(r *Relay) { r.newPoller = newPollSet },
}

// Spins makes the loops ask their pollers again and again for up to d before they sleep, after a wait that ended within
// d. One that found nothing so is the last, until a wait is short again.
func Spins(d time.Duration) func(*Relay) {
	return func(r *Relay) {
		r.newPoller = func() (poller, error) {
			p, err := newPoller()
			return &spinning{poller: p, most: d}, err
		}
	}
}

// spinning is a poller that does so.
type spinning struct {
	poller
	most time.Duration
	pays bool // the last wait was short
}

func (p *spinning) wait(d, keep time.Duration) (n int, err error) {
	for began := time.Now(); p.pays; p.pays = time.Since(began) < p.most {
		if n, err = p.poller.wait(0, keep); n > 0 || err != nil || d == 0 {
			return n, err
		}
	}
	began := time.Now()
	n, err = p.poller.wait(d, keep)
	p.pays = n > 0 && time.Since(began) < p.most
	return n, err
}

// ChecksSoon makes a relay ask the slow questions of a connection early.
func ChecksSoon(r *Relay) { r.firstCheck = 20 * time.Millisecond }

// SettlesAtOnce has every connection settle with the first event after it was connected: two in three then move to
// another loop, where there are three loops.
func SettlesAtOnce(r *Relay) { r.Loops, r.lastsAfter, r.lastsBytes = 3, 0, 1 }

// Settled returns how many connections have settled in each loop.
func Settled(r *Relay) (n []int64) {
	for _, l := range r.current() {
		n = append(n, l.settled.Load())
	}
	return n
}

// Accepted returns how many connections each loop has accepted, and how many loops accept now.
func Accepted(r *Relay) (n []int64, accepting int) {
	for _, l := range r.current() {
		n = append(n, l.accepted.Load())
	}
	return n, int(r.accepting.Load())
}

// Resolves makes the name of a relay's target have these addresses.
func Resolves(addrs ...netip.AddrPort) func(*Relay) {
	return LooksUp(func(context.Context) ([]netip.AddrPort, error) { return addrs, nil })
}

// LooksUp makes a relay find its target by f.
func LooksUp(f func(context.Context) ([]netip.AddrPort, error)) func(*Relay) {
	return func(r *Relay) { r.lookUp = f }
}

// Linger is SO_LINGER as a socket carries it now.
var Linger = sock.GetLinger

// MostLookups is how many lookups a relay has under way at once.
const MostLookups = mostLookups

// The sizes of steps, for the benchmarks that chose them.
var SmallRead, MemoryRead, Drained, CalmAfter = &smallRead, &memoryRead, &drained, &calmAfter

// GreetingLimit is how long a client may take for its PROXY header.
var GreetingLimit = &greetingLimit

// The format of PROXY headers.
var (
	ProxyLength = proxyLength
	AppendProxy = func(b []byte, version int, from, to netip.AddrPort) []byte {
		return appendProxy(b, version, proxied{from, to})
	}
	ParseProxy = func(b []byte) (from, to netip.AddrPort, err error) {
		p, err := parseProxy(b)
		return p.from, p.to, err
	}
)

// PassOver is how long a target that has failed is passed over.
var PassOver = &passOver

// Calls returns how many system calls the connections that are open have made to move bytes.
func Calls(r *Relay) (n int64) {
	for _, l := range r.current() {
		calls := make(chan int64, 1)
		l.post(func(l *loop) {
			sum := int64(0)
			for _, k := range l.links {
				if k != nil {
					sum += k.flows[upFlow].Calls.Load() + k.flows[downFlow].Calls.Load()
				}
			}
			calls <- sum
		})
		n += <-calls
	}
	return n
}
