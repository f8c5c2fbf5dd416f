package pipepool

import (
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// DefaultSize is the capacity in bytes that a Pool wishes for its pipes: 1 MiB, the most that an unprivileged user is
// granted (/proc/sys/fs/pipe-max-size).
const DefaultSize = 1 << 20

// idleTick is how often idle pipes are looked at: one that nobody borrowed between two looks is closed.
const idleTick = 10 * time.Second

// A Pool keeps pipes that nobody uses, for the next one who does. The zero value is ready; many goroutines may use one
// Pool. A Pool must not be copied.
type Pool struct {
	// Size is the capacity wished for, in bytes; 0 means DefaultSize. Set it before the first Get.
	Size int

	mu      sync.Mutex
	free    []*Pipe
	low     int // fewest pipes free since the last look
	armed   bool
	open    atomic.Int64
	bytes   atomic.Int64
	refused atomic.Int64
	smaller atomic.Int64
}

// Stats are the figures of a Pool at one moment.
type Stats struct {
	Open     int   // pipes open, lent or idle: two descriptors each
	InUse    int   // pipes lent
	Idle     int   // pipes waiting to be lent
	Capacity int64 // bytes of capacity of all open pipes
	Refused  int64 // times the kernel would not open a pipe, since the beginning
	Smaller  int64 // times the kernel granted a pipe smaller than Size, since the beginning
}

func (pl *Pool) wish() int {
	if pl.Size > 0 {
		return pl.Size
	}
	return DefaultSize
}

// Get lends a pipe: empty, its Len 0. The caller owns it until Put.
//
// Where the kernel refuses capacity the pipe is smaller than Size: see Cap. Where it refuses the pipe the error says
// why (EMFILE, ENFILE, ENOSYS ...) and the caller can copy through memory instead.
func (pl *Pool) Get() (*Pipe, error) {
	pl.mu.Lock()
	if n := len(pl.free); n > 0 {
		p := pl.free[n-1]
		pl.free[n-1] = nil
		pl.free = pl.free[:n-1]
		pl.low = min(pl.low, n-1)
		p.idle = false
		pl.mu.Unlock()
		return p, nil
	}
	pl.mu.Unlock()
	return pl.openPipe()
}

// Put takes back a pipe that Get lent. The caller must not use it any more. A pipe with bytes in it (Len is not 0) is
// closed and never lent again.
func (pl *Pool) Put(p *Pipe) {
	if p.idle {
		panic("pipepool: Put of a pipe that is in the pool already")
	}
	if p.Len != 0 {
		pl.closePipe(p)
		return
	}
	pl.mu.Lock()
	p.idle = true
	pl.free = append(pl.free, p)
	if !pl.armed {
		pl.armed = true
		pl.low = 0
		time.AfterFunc(idleTick, pl.tick)
	}
	pl.mu.Unlock()
}

// CloseIdle closes every pipe that is not lent.
func (pl *Pool) CloseIdle() {
	pl.mu.Lock()
	free := pl.free
	pl.free, pl.low = nil, 0
	pl.mu.Unlock()
	for _, p := range free {
		pl.closePipe(p)
	}
}

// Stats returns the figures of the pool.
func (pl *Pool) Stats() Stats {
	pl.mu.Lock()
	idle := len(pl.free)
	pl.mu.Unlock()
	open := int(pl.open.Load())
	return Stats{
		Open: open, InUse: open - idle, Idle: idle,
		Capacity: pl.bytes.Load(), Refused: pl.refused.Load(), Smaller: pl.smaller.Load(),
	}
}

// tick closes the pipes that were not needed since the last one, and comes again only while pipes are left.
func (pl *Pool) tick() {
	pl.mu.Lock()
	old := append([]*Pipe(nil), pl.free[:pl.low]...)
	pl.free = append(pl.free[:0], pl.free[pl.low:]...)
	pl.low = len(pl.free)
	pl.armed = pl.low > 0
	if pl.armed {
		time.AfterFunc(idleTick, pl.tick)
	}
	pl.mu.Unlock()
	for _, p := range old {
		pl.closePipe(p)
	}
}

func (pl *Pool) openPipe() (*Pipe, error) {
	e, err := openEnds(pl.wish())
	if err != nil {
		pl.refused.Add(1)
		return nil, err
	}
	if e.size < pl.wish() {
		pl.smaller.Add(1)
	}
	pl.open.Add(1)
	pl.bytes.Add(int64(e.size))
	p := &Pipe{ends: e}
	// A Pipe that its owner dropped is closed when the collector finds it.
	p.cleanup = runtime.AddCleanup(p, pl.closeEnds, e)
	return p, nil
}

func (pl *Pool) closePipe(p *Pipe) {
	p.cleanup.Stop()
	pl.closeEnds(p.ends)
	p.ends = ends{r: -1, w: -1}
}

func (pl *Pool) closeEnds(e ends) {
	e.close()
	pl.open.Add(-1)
	pl.bytes.Add(-int64(e.size))
}
