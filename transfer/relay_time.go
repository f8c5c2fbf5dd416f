package transfer

import "time"

// timeout is called when the first of a link's times has come, and looks at all of them.
func (l *loop) timeout(k *link) {
	next := int64(0)
	if k.look > 0 && l.now >= k.look {
		l.lookAt(k)
	}
	switch {
	case k.over:
		return
	case k.dial != nil:
		next = l.dialTimers(k)
	default:
		for i := range k.flows {
			if f := &k.flows[i]; f.until > 0 && l.now >= f.until && !f.over {
				l.drive(k, i)
				if k.over {
					return
				}
			}
			next = sooner(next, k.flows[i].until)
		}
		if !k.flush {
			l.ask(k)
		}
		next = sooner(next, l.tooLong(k))
	}
	if !k.over {
		l.schedule(k, sooner(next, k.look))
	}
}

// tooLong ends a link that was silent for as long as it may be, and returns when it will have been.
func (l *loop) tooLong(k *link) (next int64) {
	half := k.flows[upFlow].over != k.flows[downFlow].over
	for _, limit := range [2]struct {
		d   time.Duration
		on  bool
		end Ending
		err error
	}{{l.r.Idle, true, IdleTooLong, ErrIdle}, {l.r.HalfClose, half, HalfClosedTooLong, ErrHalfClose}} {
		if limit.d <= 0 || !limit.on {
			continue
		}
		at := k.moved + int64(limit.d)
		if l.now >= at {
			l.end(k, limit.end, limit.err)
			return 0
		}
		next = sooner(next, at)
	}
	return next
}

// setTimers schedules the limits on silence.
func (l *loop) setTimers(k *link) { l.schedule(k, l.tooLong(k)) }

// lookAt asks what costs a system call each, and is therefore asked seldom: it sets the
// options that a short connection can do without, and finds peers that are gone.
func (l *loop) lookAt(k *link) {
	k.look = 0
	switch {
	case k.dial != nil:
		if k.ends[clientEnd].watched {
			k.look = l.now + int64(nextLook)
			return
		}
		if err := l.watch(k, clientEnd, 0); err != nil {
			l.end(k, Failed, err)
			return
		}
		k.look = l.now + int64(nextLook)
	case k.flush:
		k.look = l.flushLook(k)
		l.tryFlush(k)
	default:
		l.keepAlive(k)
	}
	if !k.over && k.dial == nil {
		l.findGone(k)
	}
}

// keepAlive makes the kernel ask silent peers whether they live.
func (l *loop) keepAlive(k *link) {
	for i := range k.ends {
		if e := &k.ends[i]; e.kind == TCP && !e.kept {
			_ = keepAliveFD(e.fd) // without it a peer that is gone is only noticed later
			e.kept = true
		}
	}
}

// findGone ends a link one of whose peers answers neither retransmissions nor window
// probes. Keepalive does not see that: it is silent while bytes are under way. A link
// on which nothing moves and nothing waits is not asked again until a byte moves.
func (l *loop) findGone(k *link) {
	now, busy := time.Now(), k.flush
	for i := range k.ends {
		e := &k.ends[i]
		if e.kind != TCP {
			continue
		}
		if e.silence.gone(e.fd, now) {
			l.end(k, [2]Ending{ClientFailed, TargetFailed}[i], ErrPeerGone)
			return
		}
		n, err := e.Unacked()
		busy = busy || err == nil && n > 0
	}
	moved := k.flows[upFlow].Bytes.Load() + k.flows[downFlow].Bytes.Load()
	if busy || moved != k.asked {
		k.asked = moved
		k.look = sooner(k.look, l.now+int64(nextLook))
	}
}
