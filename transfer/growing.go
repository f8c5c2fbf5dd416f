package transfer

import (
	"context"
	"io"
	"sync"
)

// A Growing is how far a regular file has been written that others begin to read meanwhile. The zero
// value is ready. What was counted is not written again, so it can be sent by reference without a guard.
type Growing struct {
	mu      sync.Mutex
	size    int64 // bytes written
	ended   bool
	changed chan struct{} // closed by the next change; nil: nothing waits for it
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
	if g.changed != nil {
		close(g.changed)
		g.changed = nil
	}
}

// state returns the bytes beyond sent, and if there are none and more may come, what tells of them.
func (g *Growing) state(sent int64) (more int64, ended bool, changed <-chan struct{}) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.size > sent || g.ended {
		return g.size - sent, g.ended, nil
	}
	if g.changed == nil {
		g.changed = make(chan struct{})
	}
	return 0, false, g.changed
}

// MoveGrowing moves a file from where src stands, as far as g says that it was written, until g ends. skip is how many
// of the bytes that g counts are before that; it may be more than there are yet. It returns and fails as Move does. The
// caller opened src for this alone.
func (t *Transfer) MoveGrowing(ctx context.Context, dst, src *Endpoint, g *Growing, skip int64) (sent int64, err error) {
	defer func(trace func(Event)) { t.Trace = trace }(t.Trace)
	src.guard = &guard{fixed: true, settled: true, fd: -1}
	for {
		more, ended, changed := g.state(skip + sent)
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
			if err := t.awaitGrowth(ctx, dst, changed); err != nil {
				return sent, err
			}
		}
	}
}

// awaitGrowth attends to the destination's peer until the file has grown.
func (t *Transfer) awaitGrowth(ctx context.Context, dst *Endpoint, changed <-chan struct{}) error {
	waiting, stop := context.WithCancel(ctx)
	defer stop()
	go func() {
		select {
		case <-changed:
			stop()
		case <-waiting.Done():
		}
	}()
	if err := t.ServeWhileWaiting(waiting, dst, Source); err != nil {
		return err
	}
	return context.Cause(ctx)
}
