package relay

import (
	"time"

	"github.com/zcp-go/zcp/transfer"
	"github.com/zcp-go/zcp/transfer/internal/sock"
)

// timeout is called when the first of a link's deadlines has come, and checks all of them.
func (k *link) timeout() {
	l := k.loop
	next := int64(0)
	if k.nextCheck > 0 && l.now >= k.nextCheck {
		k.check()
	}
	switch {
	case k.over:
		return
	case k.dial != nil:
		next = k.dialTimers()
	default:
		for i := range k.flows {
			if f := &k.flows[i]; f.until > 0 && l.now >= f.until && !f.over {
				k.drive(i)
				if k.over {
					return
				}
			}
			next = sooner(next, k.flows[i].until)
		}
		if !k.flush {
			k.ask()
		}
		next = sooner(next, k.tooLong())
	}
	if !k.over {
		k.schedule(sooner(next, k.nextCheck))
	}
}

// tooLong ends a link that has been silent for Idle or HalfClose; otherwise it returns when it will have been.
func (k *link) tooLong() (next int64) {
	l := k.loop
	half := k.flows[upFlow].over != k.flows[downFlow].over
	for _, limit := range [2]struct {
		d   time.Duration
		on  bool
		end Ending
		err error
	}{{l.r.Idle, true, IdleTooLong, transfer.ErrIdle}, {l.r.HalfClose, half, HalfClosedTooLong, ErrHalfClose}} {
		if limit.d <= 0 || !limit.on {
			continue
		}
		at := k.moved + int64(limit.d)
		if l.now >= at {
			k.end(limit.end, limit.err)
			return 0
		}
		next = sooner(next, at)
	}
	return next
}

// setTimers schedules the limits on silence.
func (k *link) setTimers() { k.schedule(k.tooLong()) }

// check asks the questions that cost a system call each, so it is called seldom. It sets the
// options that a short connection does not need, and finds peers that are gone.
func (k *link) check() {
	l := k.loop
	k.nextCheck = 0
	switch {
	case k.dial != nil:
		if k.ends[clientEnd].watched {
			k.nextCheck = l.now + int64(nextCheckAfter)
			return
		}
		if err := k.watch(clientEnd, 0); err != nil {
			k.end(Failed, err)
			return
		}
		k.nextCheck = l.now + int64(nextCheckAfter)
	case k.flush:
		k.nextCheck = k.flushCheck()
		k.tryFlush()
	default:
		k.keepAlive()
	}
	if !k.over && k.dial == nil {
		k.findGone()
	}
}

// keepAlive makes the kernel ask silent peers whether they live.
func (k *link) keepAlive() {
	for i := range k.ends {
		if e := &k.ends[i]; e.Kind() == transfer.TCP && !e.kept {
			sock.SetKeepAlive(e.FD()) // without it a peer that is gone is only noticed later
			e.kept = true
		}
	}
}

// findGone ends a link one of whose peers answers neither retransmissions nor window
// probes. Keepalive does not see that: it is silent while bytes are under way. A link
// on which nothing moves and nothing waits is not asked again until a byte moves.
func (k *link) findGone() {
	l := k.loop
	now, busy := time.Now(), k.flush
	for i := range k.ends {
		e := &k.ends[i]
		if e.Kind() != transfer.TCP {
			continue
		}
		if e.silence.Gone(e.FD(), now) {
			k.end([2]Ending{ClientFailed, TargetFailed}[i], transfer.ErrPeerGone)
			return
		}
		n, err := e.Unacked()
		busy = busy || err == nil && n > 0
	}
	moved := k.flows[upFlow].Bytes.Load() + k.flows[downFlow].Bytes.Load()
	if busy || moved != k.bytesAtCheck {
		k.bytesAtCheck = moved
		k.nextCheck = sooner(k.nextCheck, l.now+int64(nextCheckAfter))
	}
}
