package transfer

import (
	"errors"

	"golang.org/x/sys/unix"
)

// flowEnded passes the end of a flow on, behind its last byte: the pump says ended only
// when nothing is held.
func (l *loop) flowEnded(k *link, i int) {
	f := &k.flows[i]
	f.over = true
	f.rest()
	other := &k.flows[1-i]
	switch {
	case other.over:
		l.finish(k)
		return
	case l.closedWhole(k, i) && other.held() > 0:
		l.endBroken(k, i, unix.EPIPE) // what it has not taken
		return
	case l.closedWhole(k, i):
		l.finish(k)
		return
	}
	dst := &k.ends[1-i]
	if err := rawShutdown(dst.fd); err != nil { // ENOTCONN: it was reset
		l.endBroken(k, 1-i, socketError(dst.fd))
		return
	}
	dst.shut, k.moved = true, l.now
	l.setTimers(k)
}

// closedWhole tells whether an end that has ended its direction has also closed the other.
// Only a Unix socket says so; a TCP peer must be written to before it is known.
func (l *loop) closedWhole(k *link, end int) bool {
	return k.ends[end].kind == Unix && pollNow(k.ends[end].fd, 0)&pollHup != 0
}

// finish closes both ends in order, or waits for that until the peers' kernels have
// everything: a peer that reads slowly is not cut off by a socket nobody owns any more,
// which the kernel gives up after some minutes (tcp_orphan_retries in tcp(7)).
func (l *loop) finish(k *link) {
	if !k.acknowledged() {
		k.flush = true
		for i := range k.ends {
			e := &k.ends[i]
			if !e.shut {
				_ = rawShutdown(e.fd) // what is wrong comes as an event
				e.shut = true
			}
		}
		k.moved = l.now
		k.look = l.flushLook(k)
		l.schedule(k, k.look)
		l.ask(k) // nothing but their death: on Linux a socket whose last segment is acknowledged hangs up
		return
	}
	for i := range k.ends {
		if e := &k.ends[i]; e.kind == TCP && !(e.shut && !k.flush) {
			_ = unix.SetsockoptLinger(e.fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{}) // does not fail on a socket
		}
	}
	l.end(k, Ended, nil)
}

// acknowledged tells whether the TCP peers have everything that was sent to them.
func (k *link) acknowledged() bool {
	for i := range k.ends {
		e := &k.ends[i]
		if e.kind != TCP {
			continue // what a Unix peer has not read stays readable
		}
		if n, err := e.Unacked(); err == nil && n > 0 {
			return false
		}
	}
	return true
}

// flushLook returns when to ask again whether everything is acknowledged, where nothing tells.
func (l *loop) flushLook(k *link) int64 {
	return l.now + min(max(l.now-k.moved, int64(leastFlushLook)), int64(mostFlushLook))
}

// tryFlush closes a link of which everything is acknowledged, or one of whose peers broke off.
func (l *loop) tryFlush(k *link) {
	for i := range k.ends {
		e := &k.ends[i]
		if e.kind != TCP {
			continue
		}
		if err := socketError(e.fd); err != nil { // nobody reads from it any more, who could miss the error
			l.endBroken(k, i, err)
			return
		}
	}
	if k.acknowledged() {
		l.finish(k)
	}
}

// stepFailed ends a link after an error of a step.
func (l *loop) stepFailed(k *link, i int, err error) {
	end := i
	if e, ok := errors.AsType[*Error](err); ok {
		err = e.Err
		if e.Side == Destination {
			end = 1 - i
			l.lastWords(k, end)
		}
	}
	l.endBroken(k, end, err)
}

// lastWords moves what an end has sent before it broke, as far as the other takes it: a
// server may answer and then reset a client that sends too much.
func (l *loop) lastWords(k *link, end int) {
	f := &k.flows[end]
	if f.over || f.need != wantSrc {
		return
	}
	const enough = 64
	before := f.Bytes.Load()
	for range enough {
		if w, err := f.step(quantum); err != nil || w != wantMore {
			break // the end is known to be broken
		}
	}
	l.account(k, end, before)
}

// endBroken ends a link after an error of one end.
func (l *loop) endBroken(k *link, end int, err error) {
	reason := [2]Ending{ClientFailed, TargetFailed}[end]
	if err == nil || reset(err) {
		reason = [2]Ending{ClientReset, TargetReset}[end]
	}
	l.end(k, reason, err)
}

// end ends a link at once: TCP peers that were not disarmed see a reset, Unix peers a close.
func (l *loop) end(k *link, reason Ending, err error) {
	if k.over {
		return
	}
	k.over = true
	e := RelayEvent{Kind: RelayClosed, Reason: reason, Err: err}
	told := l.r.Tell != nil && (k.dial != nil || !l.r.Terse)
	if told {
		e.Conn = l.row(k)
	}
	if k.dial != nil {
		l.dialed(k)
		e.Kind = RelayUnreachable
	} else {
		e.Dropped = k.flows[upFlow].stop() + k.flows[downFlow].stop()
	}
	l.hangUp(k, clientEnd)
	l.hangUp(k, targetEnd)
	l.timers.drop(k)
	l.links[k.slot] = nil
	l.ended = append(l.ended, k)
	l.count(&e)
	l.release() // when nobody is open any more, everybody is counted
	if told {
		e.Open = int(l.r.open.Load())
		l.r.Tell(e)
	}
}
