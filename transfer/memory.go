package transfer

import (
	"cmp"
	"context"
	"time"

	"golang.org/x/sys/unix"
)

// Write moves bytes from memory to dst: all of them, unless it returns an error. Limits, Idle,
// the back channel and cancellation are as in Move, and so are the errors.
func (t *Transfer) Write(ctx context.Context, dst *Endpoint, b []byte) (int64, error) {
	defer t.wake.on(ctx)()
	t.start(dst, nil)
	t.startDigest()
	t.pump.hold(b)
	t.pump.digest.memory(b)
	err := t.run(ctx, &lowWater{fd: -1})
	err = cmp.Or(err, t.endDigest())
	t.Stats.Lost.Add(t.pump.Stop())
	return t.pump.Bytes.Load(), err
}

// Wrote counts n bytes that the caller has written to a regular file of its own, without Write: for
// small files, where all that Write minds, limits, digests and waits, is not asked for or cannot be.
func (t *Transfer) Wrote(n int) {
	t.Stats.Calls.Add(1)
	t.Stats.Bytes.Add(int64(n))
	t.Stats.paths[ReadWrite].Add(int64(n))
	t.Stats.calls[ReadWrite].Add(1)
	if t.Grows != nil {
		t.Grows.Grow(int64(n))
	}
	t.moved = time.Time{}
	t.endSeen(time.Now())
}

// Read reads from src into b what is there, and waits until something is. It returns 0 and no
// error at the end of src. The bytes do not count as delivered; cancellation, Idle and errors
// are as in Move.
func (t *Transfer) Read(ctx context.Context, src *Endpoint, b []byte) (int, error) {
	defer t.wake.on(ctx)()
	t.start(nil, src)
	for {
		if ctx.Err() != nil {
			return 0, context.Cause(ctx)
		}
		n, err := 0, error(unix.EAGAIN)
		if t.pump.srcReady || !src.mayBlock() {
			t.pump.srcReady = false
			t.Stats.Calls.Add(1)
			n, err = src.read(b)
		}
		switch {
		case err == nil:
			t.spuriousWakeups = 0
			return n, nil
		case err != unix.EAGAIN:
			return 0, &Error{"read", Source, err}
		}
		if err := t.await(ctx, WantSrc, -1); err != nil {
			return 0, err
		}
	}
}

// ReadFull is Read until b is full or src ends.
func (t *Transfer) ReadFull(ctx context.Context, src *Endpoint, b []byte) (n int, err error) {
	for n < len(b) {
		m, err := t.Read(ctx, src, b[n:])
		n += m
		if err != nil || m == 0 {
			return n, err
		}
	}
	return n, nil
}
