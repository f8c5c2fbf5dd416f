package tree

import "sync/atomic"

// A Count is how far a tree is. Any goroutine may read it.
type Count struct {
	files   atomic.Int64
	whole   atomic.Int64 // estimate of the stream, in bytes, of the walk beside the sender
	walked  atomic.Bool  // the walk has ended: whole is of all of it
	ahead   atomic.Int64 // bytes by which the stream is larger so far than was estimated
	settled atomic.Int64 // the size of the stream, when all of it is written; 0: not yet
}

// Files returns how many members were sent or unpacked that are not directories.
func (c *Count) Files() int64 { return c.files.Load() }

// Size returns how large the stream will be, in bytes, or -1 where that is not known yet. It comes
// near as members are sent, and is exact at the end.
func (c *Count) Size() int64 {
	if n := c.settled.Load(); n > 0 {
		return n
	}
	if !c.walked.Load() {
		return -1
	}
	return c.whole.Load() + c.ahead.Load()
}
