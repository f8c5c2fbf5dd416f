package relay

import (
	"net/netip"
	"time"

	"github.com/zcp-go/zcp/transfer"
	"github.com/zcp-go/zcp/transfer/internal/sock"
)

// A link is a client, its target, and one flow of bytes each way. Times are on the loop's
// clock; flows[upFlow] takes from ends[clientEnd], flows[downFlow] from ends[targetEnd].
type link struct {
	loop         *loop
	ends         [2]linkEnd
	flows        [2]flow
	peer         netip.AddrPort // of the client; zero for a Unix socket
	to           netip.AddrPort // of the target, likewise
	via          *listenSocket  // where it was accepted
	target       *target        // the one that is tried, or was reached
	greeting     *greeting      // until the client has said its PROXY header
	header       *proxied       // what it said, for the target
	dial         *dialing       // until the target is connected
	id           uint64
	began        int64
	moved        int64 // when a byte last moved
	quiet        int64 // when a limit of our own last held a flow up, or a peer was last seen to take what was queued
	queued       int64 // bytes that the peers had not acknowledged
	queuedAt     int64 // at this time
	nextCheck    int64 // when check is due; 0: not before a byte moves
	due          int64 // when timeout is called; 0: never
	bytesAtCheck int64 // bytes that had moved at the last check
	at           int32 // index in loop.timers, while due is not 0
	slot         int32
	generation   int32 // of the slot
	settled      bool  // it belongs to its loop for good
	flush        bool  // both directions have ended, and a peer has not acknowledged everything
	over         bool
}

const (
	clientEnd, targetEnd = 0, 1
	upFlow, downFlow     = 0, 1
)

// A linkEnd is one of the two sockets of a link.
type linkEnd struct {
	transfer.Endpoint
	silence  sock.Silence
	interest uint32 // what the poller is asked for
	watched  bool   // the poller knows it
	shut     bool   // we have ended our direction towards it
	kept     bool   // keepalive is set
	prompt   bool   // it sends small segments at once (TCP_NODELAY), or needs not
}

// A flow is one direction of a link: a pump, and what decides when to step it.
type flow struct {
	transfer.Pump
	limits  *limits
	need    transfer.Want // what it waits for; transfer.WantMore: the time until
	until   int64         // it goes on then at the latest; 0: no such time
	small   int32         // steps in a row that were small, while bulk
	over    bool          // ended, and that was passed on
	bulk    bool          // large steps, through a pipe; others go through memory, which costs less for a few bytes
	memory  bool          // everything goes through memory
	starved bool          // a pipe was wanted and not to be had
	rate    meter
}

const (
	firstCheck     = 10 * time.Second // after the target was reached, unless Relay.firstCheck says otherwise
	nextCheckAfter = 30 * time.Second

	minFlushCheck = 10 * time.Millisecond
	maxFlushCheck = time.Second
	dialCheck     = 250 * time.Millisecond
)

// watch has the poller report on one end: what is asked for, and its death.
func (k *link) watch(end int, asked uint32) error {
	l := k.loop
	e := &k.ends[end]
	if e.watched && e.interest == asked {
		return nil
	}
	f := l.poll.ask
	if !e.watched {
		f = l.poll.add
	}
	if err := f(e.FD(), asked, token{k.slot<<1 | int32(end), k.generation}); err != nil {
		return err
	}
	e.watched, e.interest = true, asked
	return nil
}

// hangUp closes one end. A TCP peer sees a reset, unless the end was disarmed.
func (k *link) hangUp(end int) {
	l := k.loop
	e := &k.ends[end]
	if e.FD() < 0 {
		return
	}
	l.poll.closing(e.FD())
	sock.Close(e.Disown())
	e.watched, e.interest = false, 0
}

// connected begins to move bytes.
func (k *link) connected() {
	l := k.loop
	k.dialed()
	k.moved, k.nextCheck = l.now, l.now+int64(l.r.firstCheck)
	for i := range k.flows {
		f := &k.flows[i]
		f.Pool, f.Choose, f.Raw = &l.pipes, f, true
		f.Start(&k.ends[1-i].Endpoint, &k.ends[i].Endpoint)
		f.need, f.memory = transfer.WantSrc, l.r.NoSplice
		f.rate.began = l.now
		f.limits = l.r.newLimits()
	}
	l.opened.Add(1)
	l.unanswered++
	k.target.reached()
	if l.r.OnEvent != nil && !l.r.Brief {
		l.r.OnEvent(Event{Kind: Opened, Conn: k.row(), Open: l.r.openNow()})
	}
	if err := k.sendHeader(); err != nil {
		k.drainBroken(targetEnd)
		k.endBroken(targetEnd, err)
		return
	}
	k.setTimers()
	k.ask()
}

// ask asks the poller for what the flows wait for, and for nothing else: a flow that waits for
// one side is not woken by the other.
func (k *link) ask() {
	for i := range k.ends {
		asked := uint32(0)
		if out := &k.flows[i]; !out.over && out.need == transfer.WantSrc {
			asked |= pollIn
		}
		if in := &k.flows[1-i]; !in.over && in.need == transfer.WantDst {
			asked |= pollOut
		}
		if err := k.watch(i, asked); err != nil {
			k.end(Failed, err)
			return
		}
	}
}
