package transfer

import (
	"net/netip"
	"time"
)

// A link is a client, its target, and one flow of bytes each way. Times are on the loop's
// clock; flows[upFlow] takes from ends[clientEnd], flows[downFlow] from ends[targetEnd].
type link struct {
	ends  [2]linkEnd
	flows [2]flow
	peer  netip.AddrPort // of the client; zero for a Unix socket
	to    netip.AddrPort // of the target, likewise
	dial  *dialing       // until the target is connected
	id    uint64
	began int64
	moved int64 // when a byte last moved
	look  int64 // when the slow questions are asked next, see lookAt; 0: not before a byte moves
	due   int64 // when timeout is called next; 0: never. at is its place in the timers
	asked int64 // bytes that had moved at the last look
	at    int32
	slot  int32
	use   int32
	flush bool // both directions have ended, and a peer has not acknowledged everything
	over  bool
}

const (
	clientEnd, targetEnd = 0, 1
	upFlow, downFlow     = 0, 1
)

// A linkEnd is one of the two sockets of a link.
type linkEnd struct {
	Endpoint
	silence silence
	asked   uint32 // what the poller is asked for
	watched bool   // the poller knows it
	shut    bool   // we have ended our direction towards it
	kept    bool   // keepalive is set
}

// A flow is one direction of a link: a pump, and what decides when to step it.
type flow struct {
	pump
	limits  *limits
	need    want  // what it waits for; wantMore: the time until
	until   int64 // it goes on then at the latest; 0: no such time
	small   int32 // steps in a row that were small, while bulk
	over    bool  // ended, and that was passed on
	bulk    bool  // large steps, through a pipe; others go through memory, which costs less for a few bytes
	memory  bool  // everything goes through memory
	starved bool  // a pipe was wanted and not to be had
	rate    meter
}

const (
	firstLook = 10 * time.Second // after the target was reached, unless Relay.firstLook says otherwise
	nextLook  = 30 * time.Second

	leastFlushLook = 10 * time.Millisecond
	mostFlushLook  = time.Second
	dialLook       = 250 * time.Millisecond
)

// who returns the token of one end.
func (k *link) who(end int) token { return token{k.slot<<1 | int32(end), k.use} }

// watch has the poller tell of an end, asking for what is given.
func (l *loop) watch(k *link, end int, asked uint32) error {
	e := &k.ends[end]
	if e.watched && e.asked == asked {
		return nil
	}
	f := l.poll.ask
	if !e.watched {
		f = l.poll.add
	}
	if err := f(e.fd, asked, k.who(end)); err != nil {
		return err
	}
	e.watched, e.asked = true, asked
	return nil
}

// hangUp closes one end. A TCP peer sees a reset, unless the end was disarmed.
func (l *loop) hangUp(k *link, end int) {
	e := &k.ends[end]
	if e.fd < 0 {
		return
	}
	l.poll.closing(e.fd)
	rawClose(e.fd)
	e.fd, e.watched, e.asked = -1, false, 0
}

// connected begins to move bytes.
func (l *loop) connected(k *link) {
	l.dialed(k)
	k.moved, k.look = l.now, l.now+int64(l.r.firstLook)
	for i := range k.flows {
		f := &k.flows[i]
		f.pool = &l.pipes
		f.raw = true
		f.start(&k.ends[1-i].Endpoint, &k.ends[i].Endpoint, true)
		f.need, f.memory = wantSrc, l.r.NoSplice
		f.rate.began = l.now
		f.limits = l.r.newLimits()
	}
	l.opened.Add(1)
	if l.r.Tell != nil && !l.r.Terse {
		l.r.Tell(RelayEvent{Kind: RelayOpened, Conn: l.row(k), Open: int(l.r.open.Load())})
	}
	l.setTimers(k)
	l.ask(k)
}

// ask tells the poller what the flows wait for, and only that: whoever waits for one side
// is not to be woken by the other.
func (l *loop) ask(k *link) {
	for i := range k.ends {
		asked := uint32(0)
		if out := &k.flows[i]; !out.over && out.need == wantSrc {
			asked |= pollIn
		}
		if in := &k.flows[1-i]; !in.over && in.need == wantDst {
			asked |= pollOut
		}
		if err := l.watch(k, i, asked); err != nil {
			l.end(k, Failed, err)
			return
		}
	}
}
