package transfer

import (
	"context"
	"errors"
	"time"

	"golang.org/x/sys/unix"

	"github.com/zcp-go/zcp/transfer/internal/sock"
)

// CloseWrite ends our direction of a connection while the other one goes on.
func (c *Conn) CloseWrite() error {
	if err := unix.Shutdown(c.fd, unix.SHUT_WR); err != nil {
		if serr := sock.Error(c.fd); serr != nil {
			err = serr
		} else if err == unix.ENOTCONN { // it was broken off, and the other direction has been told why
			err = unix.ECONNRESET
		}
		return &Error{"shutdown", Destination, err}
	}
	return nil
}

// CloseOutput passes an end of stream on to a descriptor that the process was born with: a
// socket is shut down, a pipe is closed. Files and terminals have no end to pass on.
func (e *Endpoint) CloseOutput(inherited int) {
	switch {
	case e.kind.Socket():
		_ = unix.Shutdown(e.fd, unix.SHUT_WR) // refused where the peer is gone, which has seen its end
	case e.kind == Pipe:
		_ = e.Close()
		_ = unix.Close(inherited) // it is not used again, and close(2) of a pipe has nothing to report
	}
}

// An Exchange joins two descriptors that the process was born with, one to read from and one
// to write to, with a connection: both ways, until both directions have ended. It is the second
// of the two drivers' uses of Transfer: each direction is one, on a goroutine of its own, so that
// an inherited descriptor that blocks holds up only its own direction.
type Exchange struct {
	Up    Transfer // from In to Conn: its options and counts
	Down  Transfer // from Conn to Out
	Conn  *Conn
	In    *Endpoint
	Out   *Endpoint
	OutFD int // the descriptor that Out stands for; it is closed when the peer has ended and Out is a pipe

	// Store makes sure of what was written to Out when the peer has ended, before it hears that all is
	// well. Its error, of close(2) perhaps, is the Exchange's. nil: there is nothing to do.
	Store func() error

	stored chan struct{} // closed when the way down has ended well
}

// An ExchangeError says in which direction an Exchange failed.
type ExchangeError struct {
	Down bool // towards Out
	Err  error
}

func (e *ExchangeError) Error() string { return e.Err.Error() }

// Unwrap returns the cause.
func (e *ExchangeError) Unwrap() error { return e.Err }

// errPeerEnded ends the way up of a peer that reads no more.
var errPeerEnded = errors.New("the peer has ended")

// Run moves bytes both ways. The end of one direction is passed on and the other goes on; an
// error of one ends both, and is an *ExchangeError. A peer that has ended also ends what a person
// types, which would not be read any more. Up.Idle bounds the silence of both directions together.
func (x *Exchange) Run(ctx context.Context) error {
	x.Up.twin, x.Down.twin = &x.Down, &x.Up
	x.Down.Idle = x.Up.Idle
	x.Down.mindReader = true
	x.stored = make(chan struct{})
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	upCtx, endUp := context.WithCancelCause(ctx)
	defer endUp(nil)
	attending, endAttend := context.WithCancel(ctx)
	defer endAttend()
	up := make(chan error, 1)
	go func() { up <- x.runUp(upCtx, attending, cancel) }()
	err := x.moveDown(ctx)
	endAttend()
	if err != nil {
		cancel(&ExchangeError{true, err}) // if it was not that which ended it
		<-up
		return context.Cause(ctx)
	}
	if x.In.kind == Terminal {
		endUp(errPeerEnded)
	}
	if err = x.awaitUp(ctx, up, endUp); ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err == nil || errors.Is(err, errPeerEnded) {
		err = x.flush(ctx)
	}
	if err != nil {
		return &ExchangeError{false, err}
	}
	return nil
}

// runUp moves the way up, and minds the connection for as long as the peer answers.
func (x *Exchange) runUp(ctx, attending context.Context, cancel context.CancelCauseFunc) error {
	n, err := x.Up.Move(ctx, x.Conn.Endpoint, x.In, -1)
	x.Up.rest()
	if err == nil && n == 0 && x.Out.kind == File {
		err = x.holdEnd(ctx)
	}
	if err == nil {
		err = x.Conn.CloseWrite()
	}
	if err == nil { // the peer may read standard input's pages for as long as it answers
		err = x.Up.ServeWhileWaiting(attending, x.Conn.Endpoint, Neither)
	}
	if err != nil && ctx.Err() == nil && !IsReset(err) { // a reset is for the other direction to see, behind the last bytes
		cancel(&ExchangeError{false, err})
	}
	return err
}

func (x *Exchange) moveDown(ctx context.Context) error {
	_, err := x.Down.Move(ctx, x.Out, x.Conn.Endpoint, -1)
	x.Down.rest()
	if err == nil && x.Store != nil {
		if err = x.Store(); err != nil {
			err = &Error{"close", Destination, err}
		}
	}
	if err == nil {
		close(x.stored)
		x.Out.CloseOutput(x.OutFD)
	}
	return err
}

// holdLimit is for how long a peer may be silent before it hears of the end of an empty input.
const holdLimit = time.Second

// holdEnd keeps the end of an input that held nothing (/dev/null) back while the peer sends what goes
// into a file: a sender takes our end for the word that all is stored, if it comes behind its own. A peer that
// is silent may be waiting for it, so it is passed on then.
func (x *Exchange) holdEnd(ctx context.Context) error {
	tick := time.NewTicker(holdLimit)
	defer tick.Stop()
	for last := int64(0); ; {
		select {
		case <-x.stored:
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
			n := x.Down.Stats.Bytes.Load()
			if n == last {
				return nil
			}
			last = n
		}
	}
}

// rest notes that a direction has ended and moves no more bytes.
func (t *Transfer) rest() {
	t.lastWait.Store(&waiting{time.Now(), -1, 0})
}

// awaitUp waits for the end of our own direction when the peer has ended its own. A peer that
// breaks off meanwhile ends it, also while there is nothing to write that would meet the reset.
func (x *Exchange) awaitUp(ctx context.Context, up <-chan error, endUp context.CancelCauseFunc) error {
	watching, done := context.WithCancel(ctx)
	broken := make(chan error, 1)
	go func() { broken <- awaitBroken(watching, x.Conn) }()
	select {
	case err := <-up:
		done()
		<-broken
		return err
	case why := <-broken:
		done()
		if why == nil { // a Unix peer that has hung up in order, as a terminal does
			why = errPeerEnded
			if sock.PollNow(x.In.fd, unix.POLLIN)&unix.POLLIN != 0 && x.In.kind != Terminal {
				return <-up // what is there to be read meets the peer's end at the next write, or is an end as well
			}
		}
		endUp(why)
		if err := <-up; err != nil { // our direction may have ended just now
			return err
		}
		return why
	}
}

// awaitBroken waits, after the peer of c has ended its direction, until what is written to c
// will not be read any more, and returns the error that says so: a reset. It is nil where a
// Unix peer has closed in order, or where we have ended our direction, too.
func awaitBroken(ctx context.Context, c *Conn) error {
	var t Transfer
	defer t.wake.on(ctx)()
	if _, err := t.wait(ctx, interest{fd: c.fd, deaf: true}); err != nil {
		return err
	}
	return pendingError(c.fd)
}

// flush waits, after both directions have ended, until the peer's kernel has acknowledged
// everything, so that closing is not the reset of bytes on their way.
func (x *Exchange) flush(ctx context.Context) error {
	t, c := &x.Up, x.Conn
	defer t.wake.on(ctx)()
	t.pump.dst, t.pump.src, t.peerEnded = c.Endpoint, nil, true
	for pause := time.Millisecond; ; pause = min(2*pause, 100*time.Millisecond) {
		n, err := c.Unacked()
		if err == nil && n > 0 && c.kind == TCP {
			err = sock.Error(c.fd)
			if err == nil && t.silence.Gone(c.fd, time.Now()) {
				err = ErrPeerGone
			}
		}
		if err != nil {
			return &Error{"ioctl", Destination, err}
		}
		if n == 0 {
			return nil
		}
		if err := t.sleepOn(ctx, c.fd, pause); err != nil {
			return err
		}
	}
}
