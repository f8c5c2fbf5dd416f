package pipepool

import (
	"runtime"
	"time"
)

// A Pipe is a pipe for splice: two descriptors, non-blocking and close-on-exec, and the number of bytes between them.
//
// From Get until Put it belongs to its borrower, and to one goroutine at a time. The Pipe must stay reachable as long
// as its descriptors are used: the ones of a Pipe that its owner dropped are closed when the collector finds it.
type Pipe struct {
	// Len is the number of bytes in the pipe now. A splice in adds, a splice out subtracts: the kernel is
	// never asked. With Len 0 the pipe serves the next borrower, with anything else Put closes it.
	Len int64

	// Everything that Get and Put touch lies in the first cache line.
	ends
	pool *Pool // whose it is; nil once closed

	// While the pipe is idle these belong to the list that it is in.
	next *Pipe
	look int64 // the pool's look after which it was put back, or lent

	shard uint8 // the shard it was lent at and goes back to
	small bool  // the kernel granted less than was wished

	cleanup runtime.Cleanup

	_ [lines - 80]byte // the Len of neighbours must not share a cache line (on 64 bits; 32 make it smaller)
}

// lent is the look of a pipe that is in no list.
const lent = -1

// ends is what it takes to close a pipe and to cross it off the figures when the Pipe is gone.
type ends struct {
	r, w int
	size int // bytes
}

// R returns the descriptor of the end to splice or read from. It is open while the caller owns p.
func (p *Pipe) R() int { return p.r }

// W returns the descriptor of the end to splice or write to. It is open while the caller owns p.
func (p *Pipe) W() int { return p.w }

// Cap returns the capacity in bytes that the kernel granted (F_GETPIPE_SZ). It counts pages, not bytes: a pipe of 1 MiB
// is full when it holds 256 segments, however short each is.
func (p *Pipe) Cap() int { return p.size }

// openPipe opens a pipe unless the kernel has just refused one.
func (pl *Pool) openPipe(shardIndex uint8) (*Pipe, error) {
	no := pl.denied.Load()
	if no != nil && time.Now().Before(no.until) {
		pl.refused.Add(1)
		return nil, no.err
	}
	want := pl.wish()
	e, err := openEnds(want)
	if err != nil {
		pl.refused.Add(1)
		pl.denied.Store(&denial{err, time.Now().Add(denyFor)})
		return nil, err
	}
	if no != nil {
		pl.denied.Store(nil)
	}
	p := &Pipe{ends: e, pool: pl, look: lent, shard: shardIndex, small: e.size < want}
	if p.small {
		pl.smaller.Add(1)
	}
	pl.open.Add(1)
	pl.bytes.Add(int64(e.size))
	p.cleanup = runtime.AddCleanup(p, pl.closeEnds, e)
	return p, nil
}

// grow asks again for what the kernel did not grant when p was opened: the budget is shared by all processes of a user
// and another may have closed a pipe since. p is lent to the caller and empty.
func (pl *Pool) grow(p *Pipe) {
	if until := pl.noRoom.Load(); until != nil && time.Now().Before(*until) {
		return
	}
	want := pl.wish()
	size := growEnds(p.ends, want)
	if size < want {
		until := time.Now().Add(growAfter)
		pl.noRoom.Store(&until)
	}
	if size == p.size {
		return
	}
	pl.bytes.Add(int64(size - p.size))
	p.size, p.small = size, size < want
	p.cleanup.Stop() // it carries the old size
	p.cleanup = runtime.AddCleanup(p, pl.closeEnds, p.ends)
}

// closePipe closes a pipe that is in no list. The cleanup is stopped while p is still reachable: afterwards the numbers
// of its descriptors belong to other files.
func (pl *Pool) closePipe(p *Pipe) {
	p.cleanup.Stop()
	pl.closeEnds(p.ends)
	p.ends, p.pool, p.next = ends{r: -1, w: -1}, nil, nil
	runtime.KeepAlive(p)
}

// closeEnds closes what is left of a Pipe; the collector calls it for one that was dropped.
func (pl *Pool) closeEnds(e ends) {
	e.close()
	pl.open.Add(-1)
	pl.bytes.Add(-int64(e.size))
	// Two descriptors are free now: the next Get may ask the kernel.
	pl.denied.Store(nil)
}
