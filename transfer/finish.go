package transfer

import (
	"context"
	"time"

	"golang.org/x/sys/unix"

	"github.com/zcp-go/zcp/transfer/internal/sock"
)

// A Delivery says how a connection ended on which everything was sent and acknowledged.
type Delivery uint8

// The ways in which a connection ends well.
const (
	PeerClosed          Delivery = iota // the peer ended its direction after ours: a zcp peer has stored everything
	PeerClosedEarly                     // it had ended its direction before ours: what it has read cannot be known
	PeerStayedOpen                      // the time to wait for its end has passed
	PeerClosedUncounted                 // the peer ended its direction, but the system does not count what is acknowledged
	PeerOpenUncounted                   // neither the peer's end was seen nor an acknowledgement
)

var deliveryNames = [...]string{"the peer closed", "the peer had closed early", "the peer stayed open", "the peer closed, acknowledgements unseen",
	"the peer stayed open, acknowledgements unseen"}

func (d Delivery) String() string { return deliveryNames[d] }

// Finish ends our direction of a connection and waits until the peer's kernel has
// acknowledged every byte and the peer has closed. SIOCOUTQ tells the first, counting our
// FIN as a byte; the peer's FIN is the second, and it proves something only if it came
// after ours. linger bounds the wait for it once everything is acknowledged, and begins anew
// with every sign of life that Heard finds.
//
// A reset is an *Error of the Destination even when all was acknowledged: a peer that
// dies of a full disk has acknowledged, too.
func (t *Transfer) Finish(ctx context.Context, c *Conn, linger time.Duration) (Delivery, error) {
	defer t.wake.on(ctx)()
	t.resetPeer(c.Endpoint)
	t.pump.dst, t.pump.src = c.Endpoint, nil
	if err := t.drainReceive(); err != nil {
		return 0, err
	}
	early := t.peerEnded
	if err := unix.Shutdown(c.fd, unix.SHUT_WR); err != nil {
		if serr := sock.Error(c.fd); serr != nil {
			err = serr
		}
		return 0, &Error{"shutdown", Destination, err}
	}
	c.ended.Store(true)
	t.Stats.wait(Destination, time.Now())
	defer func() { t.Stats.waiting.Store(0) }()
	return t.awaitEnd(ctx, c, early, linger)
}

// drainReceive reads what the peer has sent so far, though not for ever if it goes on and on.
// After the peer's end nothing is wanted from it any more but its reset: a peer that has ended
// its direction and dies with bytes unread is heard of in no other way, for SIOCOUTQ
// does not go to 0 then (measured).
func (t *Transfer) drainReceive() error {
	for range 16 {
		if t.peerEnded {
			return pendingError(t.pump.dst.fd)
		}
		if n, err := t.drop(t.pump.dst.fd); err != nil || n == 0 && !t.peerEnded {
			return err
		}
	}
	return nil
}

// awaitEnd waits for the acknowledgement of everything and for the peer's end. The
// kernel wakes no waiter for the last acknowledgement, so it is asked again at growing intervals.
func (t *Transfer) awaitEnd(ctx context.Context, c *Conn, early bool, linger time.Duration) (Delivery, error) {
	now := time.Now()
	moved, last, ackedAt := now, int64(-1), time.Time{}
	for pause := time.Millisecond; ; now = time.Now() {
		ended := t.peerEnded
		if err := t.drainReceive(); err != nil {
			return 0, err
		}
		out, err := c.Endpoint.Unacked() // with our FIN
		if sock.Refused(err) {
			return t.awaitUncounted(ctx, c, early, linger)
		}
		if err != nil {
			return 0, &Error{"ioctl", Destination, err}
		}
		// A peer that ends after it has read our end acknowledges all of it in that very segment.
		early = early || !ended && t.peerEnded && out > 0
		if out != last {
			moved, last, pause = now, out, time.Millisecond
		}
		if out == 0 {
			if ackedAt.IsZero() {
				ackedAt = now
				t.Stats.AllAcked.Store(steady(now))
			}
			switch {
			case early:
				return PeerClosedEarly, pendingError(c.fd)
			case t.peerEnded:
				return PeerClosed, pendingError(c.fd)
			}
			if pause = t.patience(linger) - now.Sub(t.lastSign(ackedAt)); pause <= 0 {
				return PeerStayedOpen, nil
			}
		} else if t.Idle > 0 && now.Sub(moved) >= t.Idle {
			return 0, ErrIdle
		} else if t.silence.Gone(c.fd, now) && c.kind == TCP {
			return 0, &Error{"poll", Destination, ErrPeerGone}
		}
		if err := t.sleepOn(ctx, c.fd, pause); err != nil {
			return 0, err
		}
		pause = min(2*pause, 100*time.Millisecond)
	}
}

// awaitUncounted is awaitEnd where SIOCOUTQ is refused (gVisor: ENOTTY, EINVAL). The peer's end, and no
// reset with it, is all that can be seen: a kernel resets a peer that closes with bytes unread.
func (t *Transfer) awaitUncounted(ctx context.Context, c *Conn, early bool, linger time.Duration) (Delivery, error) {
	for began := time.Now(); ; {
		if err := t.drainReceive(); err != nil {
			return 0, err
		}
		left := t.patience(linger) - time.Since(t.lastSign(began))
		switch {
		case t.peerEnded && early:
			return PeerClosedEarly, pendingError(c.fd)
		case t.peerEnded:
			return PeerClosedUncounted, pendingError(c.fd)
		case left <= 0:
			return PeerOpenUncounted, nil
		}
		if err := t.sleepOn(ctx, c.fd, left); err != nil {
			return 0, err
		}
	}
}

// signPatience is how long a peer that has given signs of life may be silent: five times the interval
// at which zcp gives them.
var signPatience = 10 * time.Second // less in a test

// patience is how long to wait for the next sign of life.
func (t *Transfer) patience(linger time.Duration) time.Duration {
	if t.signOfLife.IsZero() {
		return linger
	}
	return max(linger, signPatience)
}

// lastSign returns when the peer last gave a sign of life, but not before a time.
func (t *Transfer) lastSign(from time.Time) time.Time {
	if t.signOfLife.After(from) {
		return t.signOfLife
	}
	return from
}

// pendingError asks for an error that came after the peer's end: a peer that closes with
// bytes unread sends a reset after its FIN.
func pendingError(fd int) error {
	if err := sock.Error(fd); err != nil {
		return &Error{"poll", Destination, err}
	}
	return nil
}

// sleepOn waits for the peer to send something, or for d to pass.
func (t *Transfer) sleepOn(ctx context.Context, fd int, d time.Duration) error {
	in := interest{fd: -1, until: time.Now().Add(d), bound: true, deaf: true}
	if !t.peerEnded {
		in.fd, in.events = fd, unix.POLLIN
	}
	_, err := t.wait(ctx, in)
	return err
}
