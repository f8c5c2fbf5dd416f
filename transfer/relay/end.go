package relay

import (
	"errors"

	"golang.org/x/sys/unix"

	"github.com/zcp-go/zcp/transfer"
	"github.com/zcp-go/zcp/transfer/internal/sock"
)

// flowEnded passes the end of a flow on, behind its last byte: the pump says ended only
// when nothing is held.
func (k *link) flowEnded(i int) {
	l := k.loop
	f := &k.flows[i]
	f.over = true
	f.Release()
	other := &k.flows[1-i]
	switch {
	case other.over:
		k.finish()
		return
	case k.closedWhole(i) && other.Held() > 0:
		k.endBroken(i, unix.EPIPE) // what it has not taken
		return
	case k.closedWhole(i):
		k.finish()
		return
	}
	dst := &k.ends[1-i]
	if err := sock.ShutdownWrite(dst.FD()); err != nil { // ENOTCONN: it was reset
		k.endBroken(1-i, sock.Error(dst.FD()))
		return
	}
	dst.shut, k.moved = true, l.now
	k.setTimers()
}

// closedWhole reports whether an end that has shut its direction has also closed the other.
// Only a Unix socket says so; with a TCP peer only a write tells.
func (k *link) closedWhole(end int) bool {
	return k.ends[end].Kind() == transfer.Unix && sock.PollNow(k.ends[end].FD(), 0)&pollHup != 0
}

// finish closes both ends in order, or waits for that until the peers' kernels have
// everything: a peer that reads slowly would be cut off by an orphaned socket, which the
// kernel gives up after some minutes (tcp_orphan_retries in tcp(7)).
func (k *link) finish() {
	l := k.loop
	if !k.acknowledged() {
		k.flush = true
		for i := range k.ends {
			e := &k.ends[i]
			if !e.shut {
				_ = sock.ShutdownWrite(e.FD()) // what is wrong comes as an event
				e.shut = true
			}
		}
		k.moved = l.now
		k.nextCheck = k.flushCheck()
		k.schedule(k.nextCheck)
		k.ask() // for nothing: on Linux a socket whose last segment is acknowledged reports POLLHUP
		return
	}
	for i := range k.ends {
		if e := &k.ends[i]; e.Kind() == transfer.TCP && !(e.shut && !k.flush) {
			_ = sock.Disarm(e.FD(), unix.Linger{}) // does not fail on a socket
		}
	}
	k.end(Ended, nil)
}

// anyWindow is what every TCP receives without its program reading: the smallest receive buffer of Linux, 2,304
// bytes (SO_RCVBUF in socket(7)), makes a window of half of it. A retransmission of it outlives close(2) for as long as
// the relay would wait for it: tcp_orphan_retries in tcp(7), 8 times or about 100 s.
const anyWindow = 1 << 10

// acknowledged tells whether the TCP peers have everything that was sent to them, or will have it
// without our help.
func (k *link) acknowledged() bool {
	for i := range k.ends {
		e := &k.ends[i]
		if e.Kind() != transfer.TCP {
			continue // what a Unix peer has not read stays readable
		}
		if !e.shut && k.flows[1-i].Bytes.Load() <= anyWindow {
			continue // one that is shut is closed without being disarmed, so its queue has to be empty
		}
		if n, err := e.Unacked(); err == nil && n > 0 {
			return false
		}
	}
	return true
}

// flushCheck returns when to ask again whether everything is acknowledged: no event reports it.
func (k *link) flushCheck() int64 {
	l := k.loop
	return l.now + min(max(l.now-k.moved, int64(minFlushCheck)), int64(maxFlushCheck))
}

// tryFlush closes a link if everything is acknowledged, or if a peer has reset its connection.
func (k *link) tryFlush() {
	for i := range k.ends {
		e := &k.ends[i]
		if e.Kind() != transfer.TCP {
			continue
		}
		if err := sock.Error(e.FD()); err != nil { // its bytes have all been read: the error is not needed to end them
			k.endBroken(i, err)
			return
		}
	}
	if k.acknowledged() {
		k.finish()
	}
}

// stepFailed ends a link after an error of a step.
func (k *link) stepFailed(i int, err error) {
	end := i
	if e, ok := errors.AsType[*transfer.Error](err); ok {
		err = e.Err
		if e.Side == transfer.Destination {
			end = 1 - i
			k.drainBroken(end)
		}
	}
	k.endBroken(end, err)
}

// drainBroken moves what an end has sent before it broke, as far as the other takes it: a
// server may answer and then reset a client that sends too much.
func (k *link) drainBroken(end int) {
	f := &k.flows[end]
	if f.over || f.need != transfer.WantSrc {
		return
	}
	const enough = 64
	before := f.Bytes.Load()
	for range enough {
		if w, err := f.Step(transfer.Quantum); err != nil || w != transfer.WantMore {
			break // the end is known to be broken
		}
	}
	k.account(end, before)
}

// endBroken ends a link after an error of one end.
func (k *link) endBroken(end int, err error) {
	reason := [2]Ending{ClientFailed, TargetFailed}[end]
	if err == nil || transfer.IsReset(err) {
		reason = [2]Ending{ClientReset, TargetReset}[end]
	}
	k.end(reason, err)
}

// end ends a link at once: TCP peers that were not disarmed see a reset, Unix peers a close.
func (k *link) end(reason Ending, err error) {
	l := k.loop
	if k.over {
		return
	}
	k.over = true
	e := Event{Kind: Closed, Reason: reason, Err: err}
	reported := l.r.OnEvent != nil && (k.dial != nil || reason == NoHeader || reason == NotAdmitted || !l.r.Brief)
	if reported {
		e.Conn = k.row()
	}
	switch {
	case reason == NotAdmitted:
		e.Kind = Denied
	case k.greeting != nil:
	case k.dial != nil:
		k.dialed()
		e.Kind = Unreachable
	default:
		k.target.figures.open.Add(-1)
		e.Dropped = k.flows[upFlow].Stop() + k.flows[downFlow].Stop()
	}
	k.via.figures.open.Add(-1)
	k.hangUp(clientEnd)
	k.hangUp(targetEnd)
	l.timers.drop(k)
	l.links[k.slot] = nil
	l.ended = append(l.ended, k)
	if k.settled {
		l.settled.Add(-1)
	}
	if reason == Ended {
		l.answered()
	}
	if k.greeting != nil {
		l.countGreeting(reason)
	} else {
		l.count(&e)
	}
	l.release() // after count: when the last connection is closed, the totals hold all of them
	if reported {
		e.Open = l.r.openNow()
		l.r.OnEvent(e)
	}
}
