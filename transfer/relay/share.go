package relay

import (
	"sync/atomic"
	"time"
)

// How loops share the work. As many of them accept as have something to do, the first alone to begin with: one loop
// takes 93 us of processor time for each of 8 short connections at a time, two that divide them 120, because each
// sleeps and is woken more often (2 processors, medians of 5 rounds; nginx with one worker 97).
//
// A connection that lasts moves once, to the loop with the fewest of that kind: several that are busy need several
// processors, and they may have come in one moment. A short one has ended before it would move.
const (
	shareWindow = int64(10 * time.Millisecond) // how long at least the first loop watches itself before it decides
	shareFull   = 3 * shareWindow
	shareCalm   = 10 * shareWindow
	shareMore   = 95 // percent of its time in which it was busy, for shareFull: one more loop accepts
	shareLess   = 50 // percent that fewer loops would be busy, for shareCalm: one accepts less

	lastsAfter = int64(20 * time.Millisecond) // a connection lasts when it was accepted so long ago
	lastsBytes = int64(256 << 10)             // or so many bytes have moved
)

// share is a loop's side of sharing the work.
type share struct {
	index   int32        // of the loops
	settled atomic.Int64 // links that last, and belong here
	vacated []int32      // slots of links that went to another loop in this turn: this turn's events may still name them
	window  int64        // when the first loop began to watch itself
	waited  int64        // how long it has waited since
	busyFor int64        // for how long it has been busy
	calmFor int64        // for how long fewer loops would have done
}

// surplus tells whether a loop is one of those that need not accept.
func (l *loop) surplus() bool { return l.index >= l.r.accepting.Load() }

// watchItself counts a wait that began at a time and ended now, and decides how many loops accept.
func (l *loop) watchItself(began int64) {
	r := l.r
	if l.index > 0 || r.Loops == 1 || len(r.socks) > manyListeners { // each listener would be a system call
		return
	}
	l.waited += l.now - began
	d := l.now - l.window
	if d < shareWindow {
		return
	}
	n := int64(r.accepting.Load())
	busy := 100 * (d - l.waited) / d
	l.window, l.waited = l.now, 0
	switch {
	case busy >= shareMore:
		l.calmFor, l.busyFor = 0, l.busyFor+d
	case n > 1 && busy*n < shareLess*(n-1):
		l.calmFor, l.busyFor = l.calmFor+d, 0
	default:
		l.calmFor, l.busyFor = 0, 0
	}
	switch {
	case l.busyFor >= shareFull && n < int64(r.Loops):
		l.busyFor = 0
		r.shareAmong(n + 1)
	case l.calmFor >= shareCalm:
		l.calmFor = 0
		r.shareAmong(n - 1)
	}
}

// shareAmong has so many loops accept.
func (r *Relay) shareAmong(n int64) {
	r.accepting.Store(int32(n))
	r.each(func(l *loop) {
		if l.surplus() {
			l.stopListening()
		} else {
			l.listen()
		}
	})
}

// lasts tells whether a link has shown that it is no short connection, and has yet to settle.
func (k *link) lasts() bool {
	return !k.settled && k.dial == nil && k.greeting == nil && !k.over && !k.flush &&
		(k.loop.now-k.began >= k.loop.r.lastsAfter || k.flows[upFlow].Bytes.Load()+k.flows[downFlow].Bytes.Load() >= k.loop.r.lastsBytes)
}

// settle gives a link that lasts to the loop with the fewest of that kind, which may be its own.
func (k *link) settle() {
	l := k.loop
	k.settled = true
	to := l
	mine := l.settled.Load()
	for _, other := range l.r.current() {
		if n := other.settled.Load(); mine > n+n/8 && (to == l || n < to.settled.Load()) {
			to = other
		}
	}
	to.settled.Add(1)
	if to == l {
		return
	}
	due := k.due
	k.leave()
	if !to.post(func(m *loop) { m.adopt(k, due) }) { // it has ended
		to.settled.Add(-1)
		l.settled.Add(1)
		l.adopt(k, due)
	}
}

// leave takes a link out of its loop.
func (k *link) leave() {
	l := k.loop
	for i := range k.ends {
		if e := &k.ends[i]; e.watched {
			_ = l.poll.remove(e.FD()) // it is in there: watched says so
			e.watched, e.interest = false, 0
		}
	}
	l.timers.drop(k)
	l.links[k.slot] = nil
	l.vacated = append(l.vacated, k.slot)
	if k.flows[downFlow].Bytes.Load() == 0 {
		l.unanswered = max(0, l.unanswered-1)
	}
}

// adopt takes in a link that has left another loop, and has it looked at when it was due there.
func (l *loop) adopt(k *link, due int64) {
	l.place(k)
	l.now = max(l.now, k.moved) // the other loop may have looked at the clock since this one did
	for i := range k.flows {
		k.flows[i].Pool = &l.pipes
	}
	if k.flows[downFlow].Bytes.Load() == 0 {
		l.unanswered++
	}
	if l.stopped != nil {
		k.end(Stopped, l.stopped)
		return
	}
	k.schedule(due)
	k.ask()
}
