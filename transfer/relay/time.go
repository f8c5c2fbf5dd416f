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
	case k.greeting != nil:
		if next = k.greeting.until; l.now >= next {
			k.end(NoHeader, ErrLateHeader)
		}
	case k.dial != nil:
		next = k.dialTimers()
	default:
		for i := range k.flows {
			if f := &k.flows[i]; f.until > 0 && l.now >= f.until && !f.over {
				k.quiet = l.now // silence begins where our own limit ends
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

// tooLong ends a link that has been silent for Idle or HalfClose; otherwise it returns when to
// look again. Silence is time in which a peer could have moved a byte and did not: a flow that
// waits for a limit of our own is not silent, nor is a peer whose kernel acknowledges what was
// queued for it before. A quarter of the limit after the last byte the queues are looked at first.
func (k *link) tooLong() (next int64) {
	l := k.loop
	d, reason, why := k.silenceLimit()
	if d <= 0 {
		return 0
	}
	if k.atOwnLimit() {
		k.quiet = l.now
	}
	since := max(l.movedBy(k.moved), k.quiet)
	switch {
	case l.now < since+d/4:
		return since + d/4
	case k.queueShrank():
		k.quiet = l.now
		return l.now + d/4
	case l.now < since+d && k.queued == 0:
		return since + d
	case l.now < since+d:
		return min(since+d, l.now+d/4)
	case k.missed():
		return l.now + d/4
	case !k.over:
		k.end(reason, why)
	}
	return 0
}

// silenceLimit returns the shorter of the limits that hold now, in nanoseconds, and how it ends a link; 0: none.
func (k *link) silenceLimit() (int64, Ending, error) {
	r := k.loop.r
	half := k.flows[upFlow].over != k.flows[downFlow].over
	if half && r.HalfClose > 0 && (r.Idle <= 0 || r.HalfClose < r.Idle) {
		return int64(r.HalfClose), HalfClosedTooLong, ErrHalfClose
	}
	return int64(r.Idle), IdleTooLong, transfer.ErrIdle
}

// atOwnLimit reports whether a flow waits for Limit or Total.
func (k *link) atOwnLimit() bool {
	up, down := &k.flows[upFlow], &k.flows[downFlow]
	return up.until > 0 && !up.over || down.until > 0 && !down.over
}

// queueShrank looks at what both peers have not acknowledged (a Unix peer: not read), and reports
// whether that has become less since it was last looked at without a byte having moved meanwhile.
func (k *link) queueShrank() bool {
	n := int64(0)
	for i := range k.ends {
		if m, err := k.ends[i].Unacked(); err == nil { // refused: what was queued counts as read
			n += m
		}
	}
	shrank := k.queuedAt > k.moved && n < k.queued
	k.queued, k.queuedAt = n, k.loop.now
	return shrank
}

// missed moves what the kernel has ready for a link that is about to be called silent, and
// reports whether the link goes on for that. After a stop of the process (SIGSTOP, a frozen
// cgroup) the time is over before the poller has told anything: epoll_wait(2) returns EINTR
// then, or the events of other links.
func (k *link) missed() bool {
	l := k.loop
	for i := range k.flows {
		f := &k.flows[i]
		end, events := i, pollIn
		if f.need == transfer.WantDst {
			end, events = 1-i, pollOut
		}
		if f.over || k.flush || f.need == transfer.WantMore || sock.PollNow(k.ends[end].FD(), events)&events == 0 {
			continue
		}
		f.Ready(f.need)
		k.drive(i)
		if k.over {
			return false
		}
	}
	if k.moved < l.now && !k.atOwnLimit() {
		return false
	}
	if !k.flush {
		k.ask()
	}
	return !k.over
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
		if err := k.watch(clientEnd, 0); err != nil { // as it is after the first time, and behind a header
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
