package transfer

import (
	"context"
	"runtime"
	"sync"
	"time"

	"github.com/zcp-go/zcp/pipepool"
)

// A Transfer moves sources to destinations, one after another, and counts. The zero
// value is ready. Its fields are set before the first Move and not changed during
// one; Stats may be read by anybody at any time.
type Transfer struct {
	PipeSize int           // bytes of the borrowed pipe and of the user's pipes, which only grow; 0: pipepool.DefaultSize
	NoSplice bool          // read and write through memory only
	Idle     time.Duration // give up after so long without a byte in either direction; 0: never
	Limits   []*Limiter    // every byte obeys all of them
	Discard  bool          // read and drop what a destination socket sends, so that a peer that answers never stalls
	Trace    func(Event)   // told of what was planned and what changed, from the goroutine that moves
	Stats    Stats

	pump      pump
	pool      *pipepool.Pool
	wake      wake
	leases    []*Endpoint // sources whose lease is held
	peerEnded bool        // the destination's peer has ended its own direction
	moved     time.Time   // when a byte last moved
	silence   silence
	vain      int // wake-ups in a row after which no byte moved
}

// An EventKind says what an Event is about.
type EventKind uint8

// The kinds of events.
const (
	Planned   EventKind = iota // Path is what will be tried first
	Guarded                    // Guarding says how the source is protected, Err why no lease was granted
	Refused                    // Path was refused with Err by Side
	LeaseLost                  // a writer wanted the file; the rest is copied
)

// An Event is something that Transfer.Trace is told.
type Event struct {
	Kind     EventKind
	Path     Path
	Plan     []Path
	Side     Side
	Guarding Guarding
	Err      error
	Src, Dst Kind
	Pipe     int // bytes granted to the user's pipe, or to the borrowed one, where there is one
}

// Move moves bytes from src to dst until src ends or, where limit is not negative,
// limit bytes were moved; a regular file ends where it ended when Move began. It returns
// how many bytes were delivered, and an *Error, ErrIdle, ErrPeerGone or the context's
// cause. What was taken from src and could not be delivered is lost only where dst is beyond use.
//
// A source file is watched from now on: the caller ends the watch with Endpoint.Verify.
func (t *Transfer) Move(ctx context.Context, dst, src *Endpoint, limit int64) (int64, error) {
	defer t.wake.on(ctx)()
	t.aim(dst, src, limit)
	defer func() {
		lost := t.pump.stop()
		t.Stats.Lost.Add(lost)
		if src.guard != nil {
			src.guard.taken += t.pump.Bytes.Load() + lost
		}
	}()
	lw := newLowWater(dst, src)
	defer lw.restore()
	err := t.run(ctx, &lw)
	return t.pump.Bytes.Load(), err
}

// aim makes the plan for a pair: the path, the guard over the source, the size of the pipes.
func (t *Transfer) aim(dst, src *Endpoint, limit int64) {
	if t.pool == nil {
		t.pool = poolFor(t.PipeSize)
	}
	t.meet(dst)
	p := &t.pump
	p.pool, p.stats = t.pool, &t.Stats
	p.Bytes.Store(0)
	p.start(dst, src, t.NoSplice)
	p.left = limit
	if size := src.Size(); src.kind == File && size >= 0 && (limit < 0 || size < limit) {
		p.left = size
	}
	t.moved = time.Now()
	grown := t.growPipe(dst, src)
	byRef := p.plan[0] != ReadWrite
	src.protect(byRef)
	if src.guard != nil && src.guard.held {
		t.leases = append(t.leases, src)
	}
	if byRef && !src.byReference(dst.kind) {
		p.plan = viaMemory
	}
	if src.kind == File && dst.kind == Pipe && p.plan[0] == Splice && !src.guard.fixed {
		// What lies in the pipe when we leave must not refer to the file, so the pipe is
		// filled with copies at the end.
		if p.lastCopy = true; p.left < 0 || p.referable() <= 0 {
			p.plan = viaMemory
		}
	}
	// For whoever is told the plan; without a pipe the first step goes through memory.
	if t.Trace != nil && p.plan[0] == SplicePipe && p.borrow() == nil {
		grown = p.pipe.Cap()
	}
	g, err := src.Guarding()
	t.trace(Event{Kind: Guarded, Guarding: g, Err: err, Src: src.kind, Dst: dst.kind})
	t.trace(Event{Kind: Planned, Path: p.plan[0], Plan: p.plan, Src: src.kind, Dst: dst.kind, Pipe: grown})
}

// meet forgets what is known of the last destination's peer if dst is another one.
func (t *Transfer) meet(dst *Endpoint) {
	if t.pump.dst != dst {
		t.peerEnded, t.silence = false, silence{}
	}
}

// growPipe grows the user's own pipes to the size wanted, as far as the kernel grants
// it, and returns the capacity of the destination's pipe.
func (t *Transfer) growPipe(dst, src *Endpoint) int {
	for _, e := range []*Endpoint{src, dst} {
		if e.kind == Pipe && !t.NoSplice {
			t.Stats.PipeSize.Store(int64(growPipe(e.fd, t.pipeSize())))
		}
	}
	if dst.kind == Pipe {
		return pipeCapacity(dst.fd)
	}
	return 0
}

func (t *Transfer) pipeSize() int {
	if t.PipeSize > 0 {
		return t.PipeSize
	}
	return pipepool.DefaultSize
}

func (t *Transfer) trace(e Event) {
	if t.Trace != nil {
		t.Trace(e)
	}
}

// run is the driver: it steps the pump and waits for what the pump waits for.
func (t *Transfer) run(ctx context.Context, lw *lowWater) error {
	p := &t.pump
	for yielded := time.Now(); ; {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		n, err := t.allowance(ctx)
		if err != nil {
			return err
		}
		before, paths := p.Bytes.Load(), len(p.plan)
		w, err := p.step(n)
		if moved := p.Bytes.Load() - before; moved > 0 {
			t.moved = time.Time{} // the clock is only asked when there is a wait
			t.vain = 0
			t.spend(moved)
		}
		if len(p.plan) != paths && t.Trace != nil {
			t.traceRefusal()
		}
		if err != nil {
			return err
		}
		t.checkLeases()
		if now := time.Now(); now.Sub(yielded) >= yieldEvery {
			runtime.Gosched()
			yielded = now
		}
		switch w {
		case ended:
			return nil
		case wantSrc:
			if lw.wait(w) {
				err = t.awaitBriefly(ctx, w, lw)
			} else {
				err = t.await(ctx, w, -1)
			}
		case wantDst:
			err = t.await(ctx, w, -1)
		}
		if err != nil {
			return err
		}
	}
}

// awaitBriefly waits for a full measure of bytes, but takes what is there when the sender pauses.
func (t *Transfer) awaitBriefly(ctx context.Context, w want, lw *lowWater) error {
	before := time.Now()
	err := t.await(ctx, w, lowWaterPatience)
	lw.waited(time.Since(before) >= lowWaterPatience)
	return err
}

func (t *Transfer) traceRefusal() {
	if f := t.Stats.Fallbacks(); len(f) > 0 {
		last := f[len(f)-1]
		t.trace(Event{Kind: Refused, Path: last.Path, Side: last.Side, Err: last.Err})
	}
	t.trace(Event{Kind: Planned, Path: t.pump.plan[0], Plan: t.pump.plan, Src: t.pump.src.kind, Dst: t.pump.dst.kind})
}

// checkLeases lets writers go on that wait for a file we read; what is left of it is copied.
func (t *Transfer) checkLeases() {
	kept := t.leases[:0]
	for _, e := range t.leases {
		switch {
		case e.guard == nil || !e.guard.held:
			continue
		case e.leaseWanted():
			e.giveUpLease()
			if t.pump.src == e {
				t.pump.plan = viaMemory
			}
			t.trace(Event{Kind: LeaseLost})
		default:
			kept = append(kept, e)
		}
	}
	t.leases = kept
}

// allowance returns how many bytes the next step may move, and waits where the rate
// limit says that it is none.
func (t *Transfer) allowance(ctx context.Context) (int64, error) {
	for {
		n, wait := int64(quantum), time.Duration(0)
		for _, l := range t.Limits {
			now := time.Now()
			m, d := l.Quantum(now)
			n, wait = min(n, m), max(wait, d)
		}
		if wait <= 0 {
			return n, nil
		}
		start := time.Now()
		err := t.pause(ctx, wait)
		t.Stats.WaitRate.Add(int64(time.Since(start)))
		if err != nil {
			return 0, err
		}
		t.moved = time.Time{}
		t.checkLeases()
	}
}

func (t *Transfer) spend(n int64) {
	for _, l := range t.Limits {
		l.Took(n, time.Now())
	}
}

// poolFor returns the process's pool for a size of pipe. All transfers share it, or
// each would leave its idle pipes open for as long as the pool keeps them.
func poolFor(size int) *pipepool.Pool {
	if size <= 0 || size == pipepool.DefaultSize {
		return &defaultPool
	}
	pool, ok := otherPools.Load(size)
	if !ok {
		pool, _ = otherPools.LoadOrStore(size, &pipepool.Pool{Size: size})
	}
	return pool.(*pipepool.Pool)
}

var (
	defaultPool pipepool.Pool
	otherPools  sync.Map // by size
)
