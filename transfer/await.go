package transfer

import (
	"context"
	"time"

	"golang.org/x/sys/unix"
)

const (
	leaseTick = 250 * time.Millisecond // how often a waiting transfer asks whether a writer wants its file
	peerTick  = 5 * time.Second        // how often a waiting transfer asks whether its peer is alive
	vainLimit = 16                     // wake-ups without a byte after which a waiting transfer slows down
	peerLimit = 2 * time.Minute        // a peer that answers nothing for so long is gone
)

// await sleeps in poll(2) until the pump can go on: on exactly the descriptor that it
// waits for, on the wake-up of cancellation, and on the back channel of a destination
// socket. patience limits the wait, where it is not negative; its end is no error.
func (t *Transfer) await(ctx context.Context, w want, patience time.Duration) error {
	p := &t.pump
	side, end, events := Source, p.src, int16(unix.POLLIN)
	if w == wantDst {
		side, end, events = Destination, p.dst, unix.POLLOUT
	}
	start := time.Now()
	if t.moved.IsZero() {
		t.moved = start
	}
	t.Stats.wait(side, start)
	defer func() { t.Stats.waited(side, time.Since(start)) }()
	if err := t.slowDown(ctx); err != nil {
		return err
	}
	fds := []unix.PollFd{{Fd: int32(end.fd), Events: events}, {Fd: int32(t.wake.fd()), Events: unix.POLLIN}, {Fd: -1}}
	for now := start; ; now = time.Now() {
		back := &fds[2]
		if t.Discard && p.dst.kind.Socket() {
			*back = unix.PollFd{Fd: int32(p.dst.fd), Events: t.backEvents()}
		}
		timeout := t.untilNextLook(now, patience-now.Sub(start), patience >= 0)
		if _, err := unix.Poll(fds, timeout); err != nil && err != unix.EINTR {
			return err
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if back.Fd >= 0 && back.Revents != 0 {
			if err := t.listenBack(back.Revents); err != nil {
				return err
			}
		}
		t.checkLeases()
		if fds[0].Revents != 0 {
			p.srcReady, p.dstReady = w == wantSrc, w == wantDst
			if t.vain++; t.vain > vainLimit {
				return t.tooLong(time.Now())
			}
			return nil
		}
		if err := t.tooLong(time.Now()); err != nil {
			return err
		}
		if patience >= 0 && time.Since(start) >= patience {
			return nil
		}
	}
}

// slowDown bounds the cost of an end that poll calls ready and that never moves a byte: a
// terminal whose other side has hung up takes nothing, and poll tells of nothing else.
func (t *Transfer) slowDown(ctx context.Context) error {
	if t.vain <= vainLimit {
		return nil
	}
	return t.pause(ctx, min(time.Millisecond<<min(t.vain-vainLimit, 10), 100*time.Millisecond))
}

// untilNextLook returns the milliseconds that poll may sleep.
func (t *Transfer) untilNextLook(now time.Time, patience time.Duration, hasPatience bool) int {
	d := time.Duration(-1)
	sooner := func(x time.Duration) {
		if d < 0 || x < d {
			d = max(x, 0)
		}
	}
	if hasPatience {
		sooner(patience)
	}
	if len(t.leases) > 0 {
		sooner(leaseTick)
	}
	if t.Idle > 0 {
		sooner(t.moved.Add(t.Idle).Sub(now))
	}
	if t.pump.dst != nil && t.pump.dst.kind == TCP || t.pump.src != nil && t.pump.src.kind == TCP {
		sooner(peerTick)
	}
	if d = t.wake.atMost(d); d < 0 {
		return -1
	}
	return int((d + time.Millisecond - 1) / time.Millisecond)
}

// tooLong tells whether the wait has to end: nothing moved for Idle, or a TCP peer is gone.
func (t *Transfer) tooLong(now time.Time) error {
	if t.Idle > 0 && now.Sub(t.moved) >= t.Idle {
		return ErrIdle
	}
	if d := t.pump.dst; d != nil && d.kind == TCP && t.silence.gone(d.fd, now) {
		return &Error{Destination, ErrPeerGone}
	}
	return nil
}

// pause waits for the rate limit, and for nothing else but cancellation and the back channel.
func (t *Transfer) pause(ctx context.Context, d time.Duration) error {
	until := time.Now().Add(d)
	fds := []unix.PollFd{{Fd: int32(t.wake.fd()), Events: unix.POLLIN}, {Fd: -1}}
	for {
		left := time.Until(until)
		if left <= 0 {
			return nil
		}
		if len(t.leases) > 0 {
			left = min(left, leaseTick)
			t.checkLeases()
		}
		if t.Discard && t.pump.dst.kind.Socket() {
			fds[1] = unix.PollFd{Fd: int32(t.pump.dst.fd), Events: t.backEvents()}
		}
		if _, err := pollFor(fds, t.wake.atMost(left)); err != nil && err != unix.EINTR {
			return err
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if fds[1].Fd >= 0 && fds[1].Revents != 0 {
			if err := t.listenBack(fds[1].Revents); err != nil {
				return err
			}
		}
	}
}

func (t *Transfer) backEvents() int16 {
	if t.peerEnded {
		return 0 // POLLERR and POLLHUP are told all the same
	}
	return unix.POLLIN
}

// listenBack reads and drops what the peer of a destination socket sends, and learns
// of its end and of its resets while we are busy with the source.
func (t *Transfer) listenBack(revents int16) error {
	d := t.pump.dst
	if t.peerEnded {
		// Both directions are over although we still have bytes: nobody will read them.
		if err := socketError(d.fd); err != nil {
			return &Error{Destination, err}
		}
		if revents&unix.POLLHUP != 0 {
			return &Error{Destination, unix.EPIPE}
		}
		return nil
	}
	n, end, err := drop(d.fd)
	t.Stats.Dropped.Add(n)
	if n > 0 {
		t.moved = time.Time{}
		t.moved = time.Now()
	}
	t.peerEnded = end
	if err != nil {
		return &Error{Destination, err}
	}
	return nil
}

// drop reads what is there to be read from a socket, at most 16 buffers a call, and tells
// whether the peer has ended its direction.
func drop(fd int) (n int64, end bool, err error) {
	b := buffers.Get().(*[]byte)
	defer buffers.Put(b)
	for range 16 {
		m, _, err := unix.Recvfrom(fd, *b, unix.MSG_DONTWAIT)
		switch {
		case err == unix.EINTR:
			continue
		case err == unix.EAGAIN:
			return n, false, nil
		case err != nil:
			return n, false, err
		case m == 0:
			return n, true, nil
		}
		n += int64(m)
	}
	return n, false, nil
}

// socketError takes the pending error of a socket; it is asked only when no byte is wanted from it any more.
func socketError(fd int) error {
	e, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ERROR)
	if err == nil && e != 0 {
		return unix.Errno(e)
	}
	return err
}
