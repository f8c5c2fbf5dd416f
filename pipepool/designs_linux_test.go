package pipepool

import (
	"runtime"
	"sync"
	"sync/atomic"
	"time"
	_ "unsafe" // for go:linkname
)

// plainPipe is what designs 1 to 5 lend: what the article's pool has in a pipe, no more. All open it in the same way.
type plainPipe struct {
	ends
	data    int64
	next    *plainPipe
	cleanup runtime.Cleanup
}

func (p *plainPipe) R() int { return p.r }
func (p *plainPipe) W() int { return p.w }

func openPlain() (*plainPipe, error) {
	e, err := openEnds(DefaultSize)
	if err != nil {
		return nil, err
	}
	return &plainPipe{ends: e}, nil
}

// 1. Open and close a pipe for each transfer: Go before 1.17.
type openClose struct{}

func (openClose) Get() (*plainPipe, error) { return openPlain() }
func (openClose) Put(p *plainPipe)         { p.close() }

// 2. A linked list and one mutex, nothing ever released: the first version, rejected.
type lockedList struct {
	mu   sync.Mutex
	head *plainPipe
}

func (d *lockedList) Get() (*plainPipe, error) {
	d.mu.Lock()
	p := d.head
	if p != nil {
		d.head = p.next
	}
	d.mu.Unlock()
	if p == nil {
		return openPlain()
	}
	return p, nil
}

func (d *lockedList) Put(p *plainPipe) {
	if p.data != 0 {
		p.close()
		return
	}
	d.mu.Lock()
	p.next = d.head
	d.head = p
	d.mu.Unlock()
}

// 3. The same list, and a goroutine that closes at intervals what the list did not need since the last time.
type reapedList struct {
	mu     sync.Mutex
	head   *plainPipe
	n, low int
	once   sync.Once
	stop   chan struct{} // nil: for ever
}

func (d *reapedList) Get() (*plainPipe, error) {
	d.mu.Lock()
	p := d.head
	if p != nil {
		d.head = p.next
		d.n--
		d.low = min(d.low, d.n)
	}
	d.mu.Unlock()
	if p == nil {
		d.once.Do(func() { go d.reap() })
		return openPlain()
	}
	return p, nil
}

func (d *reapedList) Put(p *plainPipe) {
	if p.data != 0 {
		p.close()
		return
	}
	d.mu.Lock()
	p.next = d.head
	d.head = p
	d.n++
	d.mu.Unlock()
}

func (d *reapedList) reap() {
	t := time.NewTicker(lookEvery)
	defer t.Stop()
	for {
		select {
		case <-d.stop:
			return
		case <-t.C:
		}
		d.mu.Lock()
		at := &d.head
		for range d.n - d.low {
			at = &(*at).next
		}
		cold := *at
		*at = nil
		d.n -= d.low
		d.low = d.n
		d.mu.Unlock()
		for ; cold != nil; cold = cold.next {
			cold.close()
		}
	}
}

// 4. HAProxy: a list for each thread, then a global list under a spin lock. A pipe goes back to the global list when
// the threads' lists, all as long as this one, could hold every pipe the process may still have.
//
// Go has no thread-local variable; the nearest thing is the processor a goroutine is pinned to, which the runtime lends
// to packages that reach in for it. Nothing but this race needs that.
type haproxy struct {
	max     int64 // as HAProxy's maxpipes
	threads int64 // as its nbthread
	used    atomic.Int64
	free    atomic.Int64

	lock  atomic.Bool
	live  atomic.Pointer[plainPipe] // read without the lock, written with it
	_     [lines]byte
	local [256]struct {
		head *plainPipe
		n    int64
		_    [lines - 16]byte
	}
}

//go:linkname procPin runtime.procPin
func procPin() int

//go:linkname procUnpin runtime.procUnpin
func procUnpin()

func (d *haproxy) Get() (*plainPipe, error) {
	l := &d.local[procPin()]
	p := l.head
	if p != nil {
		l.head = p.next
		l.n--
	}
	procUnpin()
	if p == nil {
		p = d.global()
	}
	if p != nil {
		d.free.Add(-1)
		d.used.Add(1)
		return p, nil
	}
	d.used.Add(1)
	p, err := openPlain()
	if err != nil {
		d.used.Add(-1)
	}
	return p, err
}

func (d *haproxy) global() *plainPipe {
	if d.live.Load() == nil {
		return nil
	}
	d.spin()
	p := d.live.Load()
	if p != nil {
		d.live.Store(p.next)
	}
	d.lock.Store(false)
	return p
}

func (d *haproxy) Put(p *plainPipe) {
	if p.data != 0 {
		p.close()
		d.used.Add(-1)
		return
	}
	id := procPin()
	l := &d.local[id]
	keep := l.n*d.threads < d.max-d.used.Load()
	if keep {
		p.next = l.head
		l.head = p
		l.n++
	}
	procUnpin()
	if !keep {
		d.spin()
		p.next = d.live.Load()
		d.live.Store(p)
		d.lock.Store(false)
	}
	d.free.Add(1)
	d.used.Add(-1)
}

// spin takes the lock. A holder may have lost its processor, so the others give theirs away after a while.
func (d *haproxy) spin() {
	for i := 0; !d.lock.CompareAndSwap(false, true); i++ {
		if i%64 == 63 {
			runtime.Gosched()
		}
	}
}

// 5. sync.Pool, whose pipes the collector closes: as Go merged it, with a finalizer, and as it is now, with a cleanup.
type collected struct {
	pool  sync.Pool
	guard func(*plainPipe)
	drop  func(*plainPipe)
}

func newFinalized() *collected {
	return &collected{
		guard: func(p *plainPipe) { runtime.SetFinalizer(p, func(p *plainPipe) { p.close() }) },
		drop:  func(p *plainPipe) { runtime.SetFinalizer(p, nil) },
	}
}

func newCleaned() *collected {
	return &collected{
		guard: func(p *plainPipe) { p.cleanup = runtime.AddCleanup(p, ends.close, p.ends) },
		drop:  func(p *plainPipe) { p.cleanup.Stop() },
	}
}

func (d *collected) Get() (*plainPipe, error) {
	if p := d.pool.Get(); p != nil {
		return p.(*plainPipe), nil
	}
	p, err := openPlain()
	if err != nil {
		return nil, err
	}
	d.guard(p)
	return p, nil
}

func (d *collected) Put(p *plainPipe) {
	if p.data != 0 {
		d.drop(p)
		p.close()
		return
	}
	d.pool.Put(p)
}
