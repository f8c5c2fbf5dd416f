package transfer

import (
	"context"
	"errors"
	"io"
	"time"
)

// ErrChanged says that a source was changed while it was sent, so that what arrived may be a
// mixture of old and new.
var ErrChanged = errors.New("the source changed while it was being sent")

// A Report is what is known of something that was sent.
type Report struct {
	Bytes    int64       // delivered to the socket; without an error, acknowledged by the peer's kernel unless Delivery says that this cannot be seen
	Delivery Delivery    // how the connection ended
	Source   SourceState // what became of the source meanwhile
}

// DefaultLinger is how long Send waits for the peer to close when all is acknowledged.
const DefaultLinger = 10 * time.Second

// Send sends all of src, as `zcp send` does, and closes c.
//
// Where it returns nil, every byte was acknowledged by the peer's kernel, the peer has closed in
// order or Report.Delivery says that it did not, and src is what it was at the start. A peer that
// runs `zcp recv` closes when it has stored everything. Otherwise the peer has seen a
// reset, so that it does not take a part for the whole; but for [ErrChanged], which is found out
// at the end. What the peer sends back is read and dropped.
func Send(ctx context.Context, c *Conn, src io.Reader) (Report, error) {
	return new(Transfer).Send(ctx, c, src, DefaultLinger)
}

// Send is like the function Send, with t's options and counts, and another time to wait for the peer to close.
func (t *Transfer) Send(ctx context.Context, c *Conn, src io.Reader, linger time.Duration) (r Report, err error) {
	defer c.Close() // a reset, unless it is closed already
	t.Discard = true
	// c's own endpoint, and not one that is made for the copy: what is known of the peer belongs to it.
	err = withEndpoint(descriptorOf(src), Source, func(e *Endpoint) error {
		if e == nil {
			r.Bytes, err = t.copyFrom(ctx, c.Endpoint, src, -1)
		} else {
			r.Bytes, err = t.Move(ctx, c.Endpoint, e, -1)
			defer func() { r.Source = e.Verify() }() // its pages are in use until the peer has closed
		}
		if err == nil {
			r.Delivery, err = t.Finish(ctx, c, linger)
		}
		if err == nil {
			err = c.CloseGracefully()
		}
		return err
	})
	if err == nil && r.Source == Changed {
		err = ErrChanged
	}
	return r, err
}
