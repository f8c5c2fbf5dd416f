package pipepool

import (
	"sync"
	"sync/atomic"
	"time"
	"weak"
)

// DefaultSize is the capacity in bytes that a Pool wishes for: 1 MiB, the most that an unprivileged user is granted
// for one pipe (/proc/sys/fs/pipe-max-size).
const DefaultSize = 1 << 20

const (
	// lookEvery is how often idle pipes are looked at. One that lay there for a whole interval is closed at its end, so
	// that a pipe is idle for 10 s at least and 20 s at most.
	lookEvery = 10 * time.Second

	// A refused pipe2 is not tried again within denyFor, unless a pipe is closed: thousands of borrowers that go without
	// then ask the kernel a hundred times a second, not a million.
	denyFor = 10 * time.Millisecond

	// A pipe that the kernel kept small is asked to grow again after growAfter.
	growAfter = 100 * time.Millisecond
)

// A Pool keeps idle pipes for the next borrower. The zero value is ready for use, by any
// number of goroutines. A Pool must not be copied.
//
// Idle pipes are closed after 10 to 20 seconds, by a timer that is set only while there are any: it needs neither the
// garbage collector nor a call of the program's, and does not wake a process that holds no idle pipe.
type Pool struct {
	// Size is the capacity wished for in bytes; 0 means DefaultSize. The kernel rounds it up to a power of two pages.
	// Set it before the first Get.
	Size int

	ticking atomic.Bool  // a look is going to come
	looks   atomic.Int64 // looks there have been
	denied  atomic.Pointer[denial]
	noRoom  atomic.Pointer[time.Time] // until when not to ask for growth

	_     [lines]byte // what is read at every Get and Put, apart from what is written
	shard [shards]shard

	open    atomic.Int64
	bytes   atomic.Int64
	refused atomic.Int64
	smaller atomic.Int64

	mu     sync.Mutex
	locals []weak.Pointer[Local]
}

// denial is the kernel's last word on opening a pipe, kept until it has another.
type denial struct {
	err   error
	until time.Time
}

// Get lends an empty pipe: an idle one if there is any, otherwise a new one. The caller owns it until Put.
//
// Where the kernel refuses the capacity, the pipe is smaller than Size (see Pipe.Cap). Where it refuses the pipe, Get
// returns its reason, for instance EMFILE or ENFILE, and errors.ErrUnsupported where there is no splice at all; the
// caller can copy through memory and ask again at the next transfer.
func (pl *Pool) Get() (*Pipe, error) {
	i := pickShard()
	p := pl.shard[i%shards].warm.Swap(nil)
	if p == nil {
		return pl.getElsewhere(i)
	}
	// p.next is nil and p.shard is i, as put left them.
	p.look = lent
	if p.small {
		pl.grow(p)
	}
	return p, nil
}

// getElsewhere looks on the other shards before it opens a pipe: that costs more than looking at all of them.
func (pl *Pool) getElsewhere(shardIndex uint8) (*Pipe, error) {
	for i := range uint8(shards) {
		if p := pl.shard[(shardIndex+i)%shards].take(); p != nil {
			// The link goes, or the next pipe would outlive its own borrower.
			p.next, p.look, p.shard = nil, lent, shardIndex
			if p.small {
				pl.grow(p)
			}
			return p, nil
		}
	}
	return pl.openPipe(shardIndex)
}

// Put takes back a pipe that Get lent; the caller must not touch it any more, nor its descriptors.
//
// An empty pipe (Len is 0) is kept for the next Get. One with bytes in it is closed, so that what a transfer left behind
// never comes out of another; a caller who does not know how many there are sets Len to -1.
// Put panics if p was not lent by pl or was put back already, because two borrowers would then mix their bytes.
func (pl *Pool) Put(p *Pipe) {
	if p.pool != pl || p.look != lent {
		panic("pipepool: Put of a pipe that is not lent")
	}
	if p.Len != 0 {
		pl.closePipe(p)
		return
	}
	if verify {
		p.mustBeEmpty()
	}
	p.look = pl.looks.Load()
	s := &pl.shard[p.shard%shards]
	// In line: the compiler does not inline a method that does this, and the call is a tenth of the whole.
	if old := s.warm.Swap(p); old != nil {
		s.push(old)
	}
	// Only now: see look.
	if !pl.ticking.Load() {
		pl.tick()
	}
}

// CloseIdle closes the pipes that are not lent, except those in a Local, at once: for a program about to end, or one
// whose accept has run out of descriptors.
func (pl *Pool) CloseIdle() {
	pl.closeOlder(pl.looks.Load())
}

// tick has a look come after lookEvery, if none is coming.
func (pl *Pool) tick() {
	if pl.ticking.CompareAndSwap(false, true) {
		time.AfterFunc(lookEvery, pl.look)
	}
}

// look closes the pipes that were idle when the last look came, and has another come while pipes are left.
func (pl *Pool) look() {
	if pl.closeOlder(pl.looks.Add(1)-2) > 0 {
		time.AfterFunc(lookEvery, pl.look)
		return
	}
	pl.ticking.Store(false)
	// A Put that still saw ticking set has its pipe in its shard by now, and no look would come for it.
	if pl.onShards() > 0 {
		pl.tick()
	}
}

// closeOlder closes the pipes put back at look old or before, and says how many others are idle.
func (pl *Pool) closeOlder(old int64) (left int) {
	for i := range pl.shard {
		cold, n := pl.shard[i].cut(old)
		left += n
		for cold != nil {
			p := cold
			cold = p.next
			pl.closePipe(p)
		}
	}
	return left
}

// onShards counts the idle pipes of about one moment.
func (pl *Pool) onShards() (n int) {
	for i := range pl.shard {
		n += pl.shard[i].idle()
	}
	return n
}
