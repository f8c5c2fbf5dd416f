package transfer

import (
	"time"

	"github.com/zcp-go/zcp/transfer/internal/sock"
)

// localReader tells whether the destination belongs to this side and the source to the peer.
func (t *Transfer) localReader() bool {
	p := &t.pump
	return t.mindReader || p.src != nil && p.src.kind.Socket() && !p.dst.kind.Socket()
}

// A waiting is what a direction of an Exchange waits for.
type waiting struct {
	moved  time.Time // when a byte had moved
	fd     int       // -1: nothing
	events uint32
}

// lastMoved returns when a byte last moved, in the other direction of an Exchange as well.
func (t *Transfer) lastMoved() time.Time {
	if t.twin != nil {
		if other := t.twin.lastWait.Load(); other == nil { // it moves bytes at this moment
			return time.Now()
		} else if other.moved.After(t.moved) {
			return other.moved
		}
	}
	return t.moved
}

// tooLong tells whether a wait has to end: nothing moved for Idle, or a TCP peer is gone. What
// the peer takes of the bytes that were queued for it is movement, too. local: Idle does not hold.
func (t *Transfer) tooLong(now time.Time, local bool) error {
	d := t.pump.dst
	if t.Idle > 0 && !local {
		if d != nil && d.kind.Socket() && !now.Before(t.queueDue()) && t.queueShrank(now) {
			t.notice(now)
		}
		if now.Sub(t.lastMoved()) >= t.Idle {
			if !t.twinReady() {
				return ErrIdle
			}
			t.notice(now)
		}
	}
	if d != nil && d.kind == TCP && t.silence.Gone(d.fd, now) {
		return &Error{"poll", Destination, ErrPeerGone}
	}
	return nil
}

// queueDue returns when to look at what the peer has not acknowledged: a quarter of Idle after the last byte or look.
func (t *Transfer) queueDue() time.Time {
	at := t.lastMoved()
	if t.queuedAt.After(at) {
		at = t.queuedAt
	}
	return at.Add(t.Idle / 4)
}

// queueShrank looks at what the peer of the destination has not acknowledged (TCP) or not read
// (Unix), and reports whether that has become less since the last look without a byte having moved meanwhile.
func (t *Transfer) queueShrank(now time.Time) bool {
	n, err := t.pump.dst.Unacked()
	if err != nil {
		n = 0 // refused: what was queued counts as read
	}
	shrank := t.queuedAt.After(t.moved) && n < t.queued
	t.queued, t.queuedAt = n, now
	return shrank
}

// notice counts the present as movement.
func (t *Transfer) notice(now time.Time) {
	t.moved = now
	if w := t.lastWait.Load(); w != nil {
		t.lastWait.Store(&waiting{now, w.fd, w.events})
	}
}

// twinReady tells whether the other direction of an Exchange has something to move that it has
// not seen yet: after a stop of the process both wake up at once.
func (t *Transfer) twinReady() bool {
	if t.twin == nil {
		return false
	}
	w := t.twin.lastWait.Load()
	return w == nil || w.fd >= 0 && sock.PollNow(w.fd, w.events)&w.events != 0
}
