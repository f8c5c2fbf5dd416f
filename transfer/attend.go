package transfer

import (
	"context"
	"time"
)

// Attend does what a waiting transfer has to do for its neighbours while the caller waits for
// something else, the open of a FIFO perhaps: writers get the leases they want, what
// the peer says is dropped, and the peer's end, its silence and Idle are errors. It returns nil when ctx
// ends. side is the one that is waited for, for people.
func (t *Transfer) Attend(ctx context.Context, conn *Endpoint, side Side) error {
	defer t.wake.on(ctx)()
	t.meet(conn)
	t.pump.dst, t.pump.src = conn, nil
	start := time.Now()
	t.moved = start
	t.Stats.wait(side, start)
	defer func() { t.Stats.waited(side, time.Since(start)) }()
	for now := start; ctx.Err() == nil; now = time.Now() {
		d := peerTick
		if t.Idle > 0 {
			d = min(d, t.moved.Add(t.Idle).Sub(now))
		}
		if err := t.pause(ctx, d); err != nil && ctx.Err() == nil {
			return err
		}
		if err := t.tooLong(time.Now()); err != nil {
			return err
		}
	}
	return nil
}
