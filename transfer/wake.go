package transfer

import (
	"context"
	"time"

	"golang.org/x/sys/unix"

	"github.com/zcp-go/zcp/transfer/internal/sock"
)

// wakeTick is how often a transfer that could not get a wake-up pipe looks at its context.
const wakeTick = 100 * time.Millisecond

// A wakeup is a pipe whose read end becomes readable when a context ends, so that a
// thread in poll(2) learns of it. Where no pipe is to be had (EMFILE, a filter) it is
// blind, and a wait looks up at every wakeTick.
type wakeup struct {
	r     int // -1: none, which poll(2) ignores
	blind bool
}

// on ties the wake-up to ctx until stop is called.
func (k *wakeup) on(ctx context.Context) (stop func()) {
	k.r, k.blind = -1, false
	if ctx.Done() == nil {
		return func() {}
	}
	var p [2]int
	if sock.NewPipe(&p) != nil {
		k.blind = true // the transfer goes on all the same
		return func() {}
	}
	k.r = p[0]
	done := make(chan struct{})
	cancel := context.AfterFunc(ctx, func() {
		defer close(done)
		_, _ = unix.Write(p[1], []byte{0}) // one byte into an empty pipe of ours is always taken
	})
	return func() {
		if !cancel() {
			<-done // the write end is closed only after the write
		}
		unix.Close(p[0])
		unix.Close(p[1])
	}
}

func (k *wakeup) fd() int { return k.r }

// atMost shortens a wait that a blind wake-up cannot end.
func (k *wakeup) atMost(d time.Duration) time.Duration {
	if k.blind && (d < 0 || d > wakeTick) {
		return wakeTick
	}
	return d
}
