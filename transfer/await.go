package transfer

import (
	"context"
	"time"

	"golang.org/x/sys/unix"

	"github.com/zcp-go/zcp/transfer/internal/sock"
)

const (
	leaseTick     = 250 * time.Millisecond // how often a waiting transfer asks whether a writer wants its file
	peerTick      = 5 * time.Second        // how often a waiting transfer asks whether its peer is alive
	spuriousLimit = 16                     // wake-ups without a byte after which a waiting transfer slows down
)

// An interest is what a wait is for.
type interest struct {
	fd     int   // -1: nothing but time
	events int16 // of fd
	until  time.Time
	bound  bool // until holds
	limits bool // Idle and a peer that is gone end the wait
	local  bool // a reader of ours is waited for, which is not the peer's silence: Idle does not hold
	deaf   bool // the back channel is the caller's
}

// wait is the one place where a Transfer sleeps: in poll(2), until fd is ready, the time has
// come, ctx ends, or what the transfer has to mind meanwhile ends it. Meanwhile it reads what
// the peer of a destination socket sends, lets writers have the leases they want, and notices
// silence. It returns whether fd was ready.
func (t *Transfer) wait(ctx context.Context, in interest) (ready bool, err error) {
	fds := [3]unix.PollFd{{Fd: int32(in.fd), Events: in.events}, {Fd: int32(t.wake.r), Events: unix.POLLIN}, {Fd: -1}}
	for {
		back := &fds[2]
		if d := t.pump.dst; t.minds(d) && !in.deaf {
			*back = unix.PollFd{Fd: int32(d.fd)} // POLLERR and POLLHUP are reported all the same
			if !t.peerEnded && !t.mindReader {
				back.Events = unix.POLLIN
			}
		}
		_, err := t.Threads.poll(fds[:], t.nextCheck(time.Now(), in))
		if err != nil && err != unix.EINTR {
			return false, err
		}
		if ctx.Err() != nil {
			return false, context.Cause(ctx)
		}
		t.checkLeases()
		if err != nil { // EINTR, after a stop (SIGSTOP) as well: what is ready is looked at before anything is called silent
			continue
		}
		if back.Fd >= 0 && back.Revents != 0 {
			if err := t.readBackChannel(back.Revents); err != nil {
				return false, err
			}
		}
		if fds[0].Revents != 0 {
			return true, nil
		}
		now := time.Now()
		if in.limits {
			if err := t.tooLong(now, in.local); err != nil {
				return false, err
			}
		}
		if in.bound && !now.Before(in.until) {
			return false, nil
		}
	}
}

// nextCheck returns how long poll may sleep, below 0 for as long as it takes.
func (t *Transfer) nextCheck(now time.Time, in interest) time.Duration {
	d := time.Duration(-1)
	if in.bound {
		d = max(0, in.until.Sub(now))
	}
	if len(t.leases) > 0 {
		d = shorter(d, leaseTick)
	}
	if in.limits {
		if t.Idle > 0 && !in.local {
			d = shorter(d, max(0, t.lastMoved().Add(t.Idle).Sub(now)))
			if dst := t.pump.dst; dst != nil && dst.kind.Socket() {
				d = shorter(d, max(0, t.queueDue().Sub(now)))
			}
		}
		if t.pump.dst != nil && t.pump.dst.kind == TCP || t.pump.src != nil && t.pump.src.kind == TCP {
			d = shorter(d, peerTick)
		}
	}
	return t.wake.atMost(d)
}

// await waits for what the pump wants. patience bounds it where it is not negative; its end is not an error.
func (t *Transfer) await(ctx context.Context, w Want, patience time.Duration) error {
	p := &t.pump
	side, in := Destination, interest{events: unix.POLLOUT, limits: true, local: w == WantDst && t.localReader()}
	if w == WantSrc {
		side, in.fd, in.events = Source, p.src.fd, unix.POLLIN
	} else {
		in.fd = p.dst.fd
	}
	in.local = in.local || t.IdleOf != Neither && t.IdleOf != side
	start := time.Now()
	if t.moved.IsZero() {
		t.moved = start
	}
	if t.twin != nil && !in.local {
		t.lastWait.Store(&waiting{t.moved, in.fd, uint32(in.events)})
		defer t.lastWait.Store(nil)
	}
	if in.local {
		defer func() { t.moved = time.Now() }()
	}
	t.Stats.wait(side, start)
	defer func() { t.Stats.waited(side, time.Since(start)) }()
	if err := t.slowDown(ctx); err != nil {
		return err
	}
	if patience >= 0 {
		in.until, in.bound = start.Add(patience), true
	}
	ready, err := t.wait(ctx, in)
	if err != nil || !ready {
		return err
	}
	p.Ready(w)
	if t.spuriousWakeups++; t.spuriousWakeups > spuriousLimit {
		return t.tooLong(time.Now(), in.local)
	}
	return nil
}

// slowDown bounds the cost of an end that poll calls ready and that never moves a byte: a
// terminal whose other side has hung up takes nothing, and poll tells of nothing else.
func (t *Transfer) slowDown(ctx context.Context) error {
	if t.spuriousWakeups <= spuriousLimit {
		return nil
	}
	return t.pause(ctx, min(time.Millisecond<<min(t.spuriousWakeups-spuriousLimit, 10), 100*time.Millisecond))
}

// pause waits for time to pass.
func (t *Transfer) pause(ctx context.Context, d time.Duration) error {
	_, err := t.wait(ctx, interest{fd: -1, until: time.Now().Add(d), bound: true})
	return err
}

// minds tells whether a wait listens to dst: for what its peer sends, or for its reader's end.
func (t *Transfer) minds(dst *Endpoint) bool {
	return dst != nil && (t.Discard && dst.kind.Socket() || t.mindReader && dst.kind == Pipe)
}

// readBackChannel reads and drops what the peer of a destination socket sends, and learns
// of its end and of its resets while we are busy with the source.
func (t *Transfer) readBackChannel(revents int16) error {
	d := t.pump.dst
	if t.mindReader {
		return &Error{"poll", Destination, unix.EPIPE}
	}
	if t.peerEnded {
		// Both directions are over although we still have bytes: they will not be read.
		err := pendingError(d.fd)
		if err == nil && revents&unix.POLLHUP != 0 {
			err = &Error{"poll", Destination, unix.EPIPE}
		}
		return err
	}
	n, err := t.drop(d.fd)
	if n > 0 {
		t.moved = time.Now()
	}
	return err
}

// drop reads what is there to be read from a destination socket, at most 16 buffers a call, lets
// Heard have it, and notes whether the peer has ended its direction.
func (t *Transfer) drop(fd int) (n int64, err error) {
	b := buffers.Get().(*[]byte)
	defer buffers.Put(b)
	defer func() { t.Stats.Dropped.Add(n) }()
	for range 16 {
		m, err := sock.Recv(fd, *b, 0)
		switch {
		case err == unix.EAGAIN:
			return n, nil
		case err != nil:
			return n, &Error{"read", Destination, err}
		case m == 0:
			t.peerEnded = true
			return n, nil
		}
		n += int64(m)
		if err := t.hear((*b)[:m]); err != nil {
			return n, err
		}
	}
	return n, nil
}

func (t *Transfer) hear(b []byte) error {
	if t.Heard == nil {
		return nil
	}
	alive, err := t.Heard(b)
	if alive {
		t.signOfLife = time.Now()
	}
	return err
}
