package transfer

import (
	"context"
	"time"

	"golang.org/x/sys/unix"
)

// EndWrites ends our direction of a connection while the other one goes on.
func (c *Conn) EndWrites() error {
	if err := unix.Shutdown(c.fd, unix.SHUT_WR); err != nil {
		if serr := socketError(c.fd); serr != nil {
			err = serr
		} else if err == unix.ENOTCONN { // it was broken off, and the other direction has been told why
			err = unix.ECONNRESET
		}
		return &Error{Destination, err}
	}
	return nil
}

// EndOutput passes an end of stream on to a descriptor that the process was born with: a
// socket is shut down, a pipe is closed. Files and terminals have no end to pass on.
func (e *Endpoint) EndOutput(inherited int) {
	switch {
	case e.kind.Socket():
		_ = unix.Shutdown(e.fd, unix.SHUT_WR) // whoever is there has seen its end
	case e.kind == Pipe:
		_ = e.Close()
		_ = unix.Close(inherited) // it is not used again, and close(2) of a pipe has nothing to say
	}
}

// Flush waits, after both directions have ended, until the peer's kernel has acknowledged
// everything, so that closing is not the reset of bytes under way.
func (t *Transfer) Flush(ctx context.Context, c *Conn) error {
	defer t.wake.on(ctx)()
	t.pump.dst, t.pump.src, t.peerEnded = c.Endpoint, nil, true
	for pause := time.Millisecond; ; pause = min(2*pause, 100*time.Millisecond) {
		n, err := c.Unacked()
		if err == nil && n > 0 && c.kind == TCP {
			err = socketError(c.fd)
			if err == nil && t.silence.gone(c.fd, time.Now()) {
				err = ErrPeerGone
			}
		}
		if err != nil {
			return &Error{Destination, err}
		}
		if n == 0 {
			return nil
		}
		if err := t.sleepOn(ctx, c.fd, pause); err != nil {
			return err
		}
	}
}

// AwaitBroken waits, after the peer of c has ended its direction, until nobody takes any more
// what is written to c, and returns the error that says so: a reset. It is nil where a Unix
// peer has closed in order, or where we have ended our direction, too.
func AwaitBroken(ctx context.Context, c *Conn) error {
	if err := AwaitHangup(ctx, c.Endpoint); err != nil {
		return err
	}
	if err := socketError(c.fd); err != nil {
		return &Error{Destination, err}
	}
	return nil
}

// AwaitHangup returns nil once nobody can read any more what is written to a pipe or
// socket, or the context's cause if that ends first. Other kinds have no reader to lose.
func AwaitHangup(ctx context.Context, e *Endpoint) error {
	if e.kind != Pipe && !e.kind.Socket() {
		<-ctx.Done()
		return context.Cause(ctx)
	}
	var k wake
	defer k.on(ctx)()
	fds := []unix.PollFd{{Fd: int32(e.fd)}, {Fd: int32(k.fd()), Events: unix.POLLIN}}
	for {
		timeout := -1
		if k.blind {
			timeout = int(wakeTick / time.Millisecond)
		}
		if _, err := unix.Poll(fds, timeout); err != nil && err != unix.EINTR {
			return err
		}
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case fds[0].Revents != 0:
			return nil
		}
	}
}
