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
	held  <-chan struct{} // of the context that it is tied to over several calls; nil: none
}

// Under ties t to ctx over the Moves, Reads and Writes that are made with ctx until done is called.
// It is for many small ones: a wake-up of their own would cost each three system calls. All of
// them, and done, are of one goroutine.
func (t *Transfer) Under(ctx context.Context) (done func()) {
	stop := t.wake.on(ctx)
	t.wake.held = ctx.Done()
	return stop
}

// on ties the wake-up to ctx until stop is called.
func (k *wakeup) on(ctx context.Context) (stop func()) {
	if k.held != nil && k.held == ctx.Done() {
		return func() {}
	}
	outer := *k
	restore := func() { *k = outer }
	*k = wakeup{r: -1}
	if ctx.Done() == nil {
		return restore
	}
	var p [2]int
	if sock.NewPipe(&p) != nil {
		k.blind = true // the transfer goes on all the same
		return restore
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
		restore()
	}
}

// atMost shortens a wait that a blind wake-up cannot end.
func (k *wakeup) atMost(d time.Duration) time.Duration {
	if k.blind {
		return shorter(d, wakeTick)
	}
	return d
}

// shorter returns a wait of d, below 0 for as long as it takes, or of most where that is less.
func shorter(d, most time.Duration) time.Duration {
	if d < 0 || d > most {
		return most
	}
	return d
}
