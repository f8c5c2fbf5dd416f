package relay

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/zcp-go/zcp/transfer"
	"github.com/zcp-go/zcp/transfer/internal/sock"
)

// A dialing is what a link needs until its target is connected. Times are on the loop's clock.
type dialing struct {
	order  []*target // the targets, in the order in which they are tried
	good   int       // of these, those that have not failed lately
	turn   int       // index in order of the target to try next
	addrs  []netip.AddrPort
	next   int   // index of the address to try next
	left   int   // addresses not tried, 1 for a Unix socket
	limit  int64 // the target's share of the time has passed then; 0: no limit
	giveUp int64
	retry  int64 // no new round begins after this
	pause  time.Duration
	again  int64 // when to try again; 0: not waiting for that
	until  int64 // when the attempt in progress has taken too long; 0: no limit
	err    error // of the last attempt

	backoff   time.Duration // the last wait for descriptors; 0: none
	withoutFD bool          // it has no descriptor for the target; counted in running.dialsWithoutFD

	place *place // in the queue for room in the backlog of a Unix target

	lookingUp bool // a lookup of the target is in progress
	lookupSeq int  // number of the last lookup: an answer to an older one is dropped
}

const (
	firstPause = 50 * time.Millisecond
	longPause  = time.Second

	minBackoff = 10 * time.Millisecond
	maxBackoff = 500 * time.Millisecond
)

// startDial begins to connect a link with the target.
func (k *link) startDial() {
	l := k.loop
	if n := len(l.dialings); n > 0 {
		k.dial, l.dialings = l.dialings[n-1], l.dialings[:n-1]
	} else {
		k.dial = new(dialing)
	}
	*k.dial = dialing{order: k.dial.order[:0], pause: firstPause, retry: l.now + int64(l.r.Dialer.RetryFor)}
	if !k.pauseInCircle() {
		k.round()
	}
}

// dialed frees what connecting needed: it has succeeded, failed or been given up.
func (k *link) dialed() {
	l := k.loop
	const keep = 64
	l.hasFD(k.dial)
	k.leaveQueue()
	if len(l.dialings) < keep {
		l.dialings = append(l.dialings, k.dial)
	}
	k.dial = nil
}

// round tries all targets.
func (k *link) round() {
	l := k.loop
	d := k.dial
	d.again, d.giveUp, d.turn = 0, 0, 0
	if l.r.Dialer.Wait > 0 {
		d.giveUp = l.now + int64(l.r.Dialer.Wait)
	}
	d.order, d.good = k.via.route.order(l.now, l.r.Spread, d.order[:0])
	k.nextTarget()
}

// nextTarget looks the next target up and tries all its addresses, or ends the round. Its share of
// the time is what is left, divided by the targets that are left: those that have not failed lately
// before the others.
func (k *link) nextTarget() {
	l := k.loop
	d := k.dial
	left := d.good - d.turn
	if left <= 0 {
		left = len(d.order) - d.turn
	}
	if left == 0 {
		k.roundFailed()
		return
	}
	g := d.order[d.turn]
	d.turn++
	k.target, d.limit, d.lookingUp = g, d.giveUp, false
	if d.giveUp > 0 {
		d.limit = l.now + (d.giveUp-l.now)/int64(left)
	}
	if g.host == "" {
		d.addrs, d.next, d.left = g.addrs, 0, max(1, len(g.addrs))
		k.tryNext()
		return
	}
	k.lookUp()
}

// targetFailed goes on to the next target.
func (k *link) targetFailed() {
	k.target.failed(k.loop.now)
	k.nextTarget()
}

// tryNext goes on to the next address, or to the next target.
func (k *link) tryNext() {
	l := k.loop
	d := k.dial
	for d.left > 0 {
		d.left--
		err := k.attempt()
		switch {
		case err == nil:
			k.connected()
			return
		case errors.Is(err, unix.EINPROGRESS):
			if err = k.watch(targetEnd, pollOut); err == nil {
				k.schedule(d.until)
				return
			}
		case passes(err) && (d.limit == 0 || l.now < d.limit):
			k.hangUp(targetEnd)
			d.left++
			if errors.Is(err, unix.EAGAIN) {
				d.place, d.until = l.r.queues.enter(k, k.target.path), d.limit // no longer than that
				k.schedule(d.until)
			} else {
				k.backOff()
			}
			return
		case transfer.IsReset(err):
			k.brokenOff(err)
			return
		}
		d.err = err
		k.hangUp(targetEnd)
		d.next++
	}
	k.targetFailed()
}

func (k *link) nextAfter(err error) {
	k.dial.err = err
	k.hangUp(targetEnd)
	k.dial.next++
	k.tryNext()
}

// roundFailed tries again later, within Dialer.RetryFor, or resets the client.
func (k *link) roundFailed() {
	l := k.loop
	d := k.dial
	if l.now < d.retry && transfer.WorthRetrying(d.err) {
		k.putOff(min(d.pause, time.Duration(d.retry-l.now)))
		d.pause = min(2*d.pause, longPause)
		return
	}
	k.end(TargetUnreachable, d.err)
}

func (k *link) putOff(d time.Duration) {
	l := k.loop
	k.dial.again, k.dial.until = l.now+int64(d), 0
	k.schedule(k.dial.again)
}

// dialTimers does what is due while a link is connecting, and returns when it is due next.
func (k *link) dialTimers() (next int64) {
	l := k.loop
	d := k.dial
	switch {
	case d.again > 0 && l.now >= d.again:
		d.again = 0
		switch {
		case d.lookingUp:
			k.lookUp()
		case d.left > 0:
			k.tryNext()
		default:
			k.round()
		}
	case d.until == 0 || l.now < d.until:
		return sooner(d.again, d.until)
	case d.place != nil:
		k.queueFailed(os.NewSyscallError("connect", unix.EAGAIN))
	case d.lookingUp:
		d.lookingUp, d.err = false, &net.DNSError{Err: "no answer in the time allowed", Name: k.target.host, IsTimeout: true}
		k.targetFailed()
	default:
		if events := sock.PollNow(k.ends[targetEnd].FD(), pollOut); events != 0 { // after a stop of the process it has ended meanwhile
			k.attemptEnded(events)
			return 0
		}
		k.nextAfter(os.NewSyscallError("connect", unix.ETIMEDOUT))
	}
	return 0 // what was begun here has scheduled its own end
}
