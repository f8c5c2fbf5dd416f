package transfer

import (
	"context"
	"time"
)

// ServeWhileWaiting does what a waiting transfer has to do for its neighbours while the caller waits for
// something else, the open of a FIFO perhaps: writers get the leases they want, what
// the peer says is dropped, and the peer's end, its silence and Idle are errors. It returns nil when ctx
// ends. side is the one that is waited for, for people.
func (t *Transfer) ServeWhileWaiting(ctx context.Context, conn *Endpoint, side Side) error {
	defer t.wake.on(ctx)()
	err := t.attend(ctx, conn, side, interest{fd: -1})
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// attend waits for side, for what in says, and minds conn's peer meanwhile.
func (t *Transfer) attend(ctx context.Context, conn *Endpoint, side Side, in interest) error {
	t.resetPeer(conn)
	t.pump.dst, t.pump.src = conn, nil
	start := time.Now()
	t.moved = start
	t.Stats.wait(side, start)
	defer func() { t.Stats.waited(side, time.Since(start)) }()
	in.limits, in.local = true, t.IdleOf != Neither && t.IdleOf != side
	_, err := t.wait(ctx, in)
	return err
}

// LendSources lets writers have the leases that they want until ctx ends: for a caller that has
// begun with a source, and waits for another destination to go on.
func (t *Transfer) LendSources(ctx context.Context) {
	defer t.wake.on(ctx)()
	t.resetPeer(nil)
	t.pump.dst, t.pump.src = nil, nil
	for ctx.Err() == nil {
		if _, err := t.wait(ctx, interest{fd: -1}); err != nil && ctx.Err() == nil {
			return // poll(2) has failed: then the kernel breaks the lease in its own time
		}
	}
}
