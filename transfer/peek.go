package transfer

import (
	"bytes"
	"context"

	"golang.org/x/sys/unix"
)

// PeekBinary waits for the first bytes on a socket and tells, without taking them,
// whether there is a zero byte among them: what holds one is no text.
func (t *Transfer) PeekBinary(ctx context.Context, src *Endpoint) (bool, error) {
	defer t.wake.on(ctx)()
	t.pump.start(src, src, true)
	if err := t.await(ctx, wantSrc, -1); err != nil {
		return false, err
	}
	b := buffers.Get().(*[]byte)
	defer buffers.Put(b)
	n, err := ignoringEINTRn(func() (int, error) {
		n, _, err := unix.Recvfrom(src.fd, *b, unix.MSG_PEEK|unix.MSG_DONTWAIT)
		return n, err
	})
	if err != nil {
		return false, &Error{Source, err}
	}
	return bytes.IndexByte((*b)[:n], 0) >= 0, nil
}
