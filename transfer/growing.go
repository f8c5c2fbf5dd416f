package transfer

import (
	"context"
	"io"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/zcp-go/zcp/transfer/internal/sock"
)

// A Growing is how far a regular file has been written that others begin to read meanwhile. The zero
// value is ready. What was counted is not written again, so it can be sent by reference without a guard.
type Growing struct {
	mu      sync.Mutex
	size    int64 // bytes written
	ended   bool
	waiting []int // the pipes of those that the next change wakes
}

// Grow counts n more bytes.
func (g *Growing) Grow(n int64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.size += n
	g.tell()
}

// Reach counts bytes that were there before: n at least are written.
func (g *Growing) Reach(n int64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if n > g.size {
		g.size = n
		g.tell()
	}
}

// End says that all bytes are there.
func (g *Growing) End() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.ended = true
	g.tell()
}

func (g *Growing) tell() {
	for _, w := range g.waiting {
		_, _ = unix.Write(w, []byte{0}) // one byte into an empty pipe of ours is always taken
	}
	g.waiting = g.waiting[:0]
}

// state returns the bytes beyond sent. If there are none and more may come, the next change writes a byte to w, where
// that is not below 0.
func (g *Growing) state(sent int64, w int) (more int64, ended bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.size > sent || g.ended {
		return g.size - sent, g.ended
	}
	if w >= 0 {
		g.waiting = append(g.waiting, w)
	}
	return 0, false
}

// leave closes the pipe of one that waits no more.
func (g *Growing) leave(p [2]int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.waiting = slices.DeleteFunc(g.waiting, func(w int) bool { return w == p[1] })
	for _, fd := range p {
		if fd >= 0 {
			unix.Close(fd)
		}
	}
}

// MoveGrowing moves a file from where src stands, as far as g says that it was written, until g ends. skip is how many
// of the bytes that g counts are before that; it may be more than there are yet. It returns and fails as Move does. The
// caller opened src for this alone.
func (t *Transfer) MoveGrowing(ctx context.Context, dst, src *Endpoint, g *Growing, skip int64) (sent int64, err error) {
	defer func(trace func(Event)) { t.Trace = trace }(t.Trace)
	defer t.Under(ctx)()
	grown := [2]int{-1, -1}
	if err := sock.NewPipe(&grown); err != nil {
		grown = [2]int{-1, -1} // as in wakeup: it looks at every wakeTick
	}
	defer g.leave(grown)
	src.guard = &guard{fixed: true, settled: true, fd: -1}
	for {
		more, ended := g.state(skip+sent, grown[1])
		switch {
		case more > 0:
			n, err := t.Move(ctx, dst, src, more)
			sent += n
			if err != nil {
				return sent, err
			}
			if n < more { // it was truncated by others
				return sent, &Error{"read", Source, io.ErrUnexpectedEOF}
			}
			t.Trace = nil // a plan is told of once
		case ended:
			return sent, nil
		default:
			if err := t.awaitGrowth(ctx, dst, grown[0]); err != nil {
				return sent, err
			}
		}
	}
}

// awaitGrowth attends to the destination's peer until there is a byte in grown, and takes it.
func (t *Transfer) awaitGrowth(ctx context.Context, dst *Endpoint, grown int) error {
	in := interest{fd: grown, events: unix.POLLIN}
	if grown < 0 {
		in.until, in.bound = time.Now().Add(wakeTick), true
	}
	if err := t.attend(ctx, dst, Source, in); err != nil {
		return err
	}
	if grown >= 0 {
		_, _ = unix.Read(grown, make([]byte, 1)) // it is there
	}
	return nil
}
