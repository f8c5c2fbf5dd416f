package transfer

import (
	"cmp"
	"context"
	"hash"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/zcp-go/zcp/pipepool"
	"github.com/zcp-go/zcp/transfer/internal/sock"
	"github.com/zcp-go/zcp/transfer/rate"
)

// A Transfer moves sources to destinations, one after another, and counts. The zero
// value is ready. Its fields are set before the first Move and not changed during
// one; any goroutine may read Stats at any time.
type Transfer struct {
	PipeSize int             // bytes of the borrowed pipe and of the user's pipes, which only grow; 0: pipepool.DefaultSize
	NoSplice bool            // read and write through memory only
	Idle     time.Duration   // give up after so long in which the peer moved, sent or acknowledged no byte; 0: never
	IdleOf   Side            // the side whose silence Idle is about; Neither: both
	Limits   []*rate.Limiter // every byte obeys all of them
	Discard  bool            // read and drop what a destination socket sends, so that a peer that answers never stalls
	Digest   hash.Hash       // gets every byte that is moved, in order, beside the mover; nil: none
	ReadBack bool            // Digest gets what a regular file opened for both holds when it was written, not what was sent to it
	Heard    Heard           // gets what Discard reads, before it is dropped
	Grows    *Growing        // is told of every byte that was delivered; nil: none
	Trace    func(Event)     // called with what was planned and what changed, by the goroutine that moves; it changes nothing
	Threads  *Threads        // shared with other transfers, whose waits it bounds together; nil: a wait holds a thread
	Stats    Stats

	pump            Pump
	choice          choice
	pool            *pipepool.Pool
	wake            wakeup
	leases          []*Endpoint // sources whose lease is held
	leasesSeen      time.Time   // when they were last asked for
	peerEnded       bool        // the destination's peer has ended its own direction
	signOfLife      time.Time   // when Heard last said that there was one
	moved           time.Time   // when a byte last moved
	queued          int64       // bytes that the destination's peer had not acknowledged
	queuedAt        time.Time   // at this time
	silence         sock.Silence
	spuriousWakeups int // in a row, after which no byte moved

	// In an Exchange.
	twin       *Transfer               // the other direction, whose bytes end a silence as well
	lastWait   atomic.Pointer[waiting] // the wait that is in progress; nil: there is none
	mindReader bool                    // the end of a pipe's reader ends a wait
}

// A Heard is called with what the peer of a destination socket sent, by the goroutine that moves.
// The bytes are its own only during the call. With alive the time that Finish waits for the
// peer's end begins anew; an error ends the transfer, as it is.
type Heard func(b []byte) (alive bool, err error)

// A Segment is a stretch of a source: bytes in memory, or a range of what an endpoint holds.
// A source is a sequence of segments: several files, or the members of an archive.
type Segment struct {
	Bytes []byte    // in memory; used where From is nil
	From  *Endpoint // a file, or a stream
	Skip  int64     // bytes of From to leave out first, from where it stands; only a file or block device can
	N     int64     // bytes of From at the most; below 0: until it ends
}

// Move moves bytes from src to dst until src ends or, where limit is not negative,
// limit bytes were moved; a regular file ends where it ended when Move began. It returns
// how many bytes were delivered, and an *Error, ErrIdle, ErrPeerGone or the context's
// cause. What was taken from src and could not be delivered is lost only where dst is beyond use.
//
// A source file is watched from now on: the caller ends the watch with Endpoint.Verify.
func (t *Transfer) Move(ctx context.Context, dst, src *Endpoint, limit int64) (int64, error) {
	return t.MoveSegment(ctx, dst, Segment{From: src, N: limit})
}

// MoveSegment moves one segment of a source to dst, as Move does. What it skips is added to
// Stats.Offset; a source that cannot skip is an *Error with ESPIPE, before any byte moved.
func (t *Transfer) MoveSegment(ctx context.Context, dst *Endpoint, s Segment) (n int64, err error) {
	if s.From == nil {
		return t.Write(ctx, dst, s.Bytes)
	}
	if s.Skip > 0 {
		if err := s.From.Skip(s.Skip); err != nil {
			return 0, &Error{"lseek", Source, err}
		}
		t.Stats.Offset.Add(s.Skip)
	}
	defer t.wake.on(ctx)()
	t.plan(dst, s.From, s.N)
	defer func() {
		err = cmp.Or(err, t.endDigest())
		dropped := t.pump.Stop()
		lost := s.From.putBack(dropped)
		t.Stats.Lost.Add(lost)
		if g := s.From.guard; g != nil {
			g.taken += t.pump.Bytes.Load() + lost
			g.back += dropped - lost
		}
	}()
	lw := newLowWater(dst, s.From)
	defer lw.restore()
	err = t.run(ctx, &lw)
	return t.pump.Bytes.Load(), err
}

// start points the pump at a pair of ends, one of which may be memory.
func (t *Transfer) start(dst, src *Endpoint) {
	if t.pool == nil {
		t.pool = Pool(t.PipeSize)
	}
	t.resetPeer(dst)
	p := &t.pump
	p.Pool, p.Choose, p.stats = t.pool, &t.choice, &t.Stats
	p.onRefuse, p.onPipe = nil, nil
	if t.Trace != nil {
		p.onRefuse, p.onPipe = t.traceRefusal, func(n int) { t.Trace(Event{Kind: Borrowed, Pipe: n}) }
	}
	p.Bytes.Store(0)
	p.Start(dst, src)
	t.moved = time.Now()
}

// plan makes the plan for a pair: the path, the guard over the source, the size of the pipes.
func (t *Transfer) plan(dst, src *Endpoint, limit int64) {
	t.start(dst, src)
	p := &t.pump
	p.left = limit
	if size := src.Size(); src.kind == File && size >= 0 && (limit < 0 || size < limit) {
		p.left = size
	}
	t.choice.start(dst, src, p.left, t.NoSplice)
	grown := t.growPipe(dst, src)
	path, _ := t.choice.Next(1)
	byRef := path != ReadWrite
	src.protect(byRef)
	if src.guard != nil && src.guard.held && !slices.Contains(t.leases, src) { // the bodies of an archive are of one source
		t.leases = append(t.leases, src)
	}
	if byRef && !src.byReference(dst.kind) {
		t.choice.throughMemory()
	}
	t.startDigest()
	t.digestChoice(src)
	t.keepCopies(dst, src)
	if t.Trace == nil {
		return
	}
	g, err := src.Guarding()
	t.Trace(Event{Kind: Guarded, Guarding: g, Err: err, Src: src.kind, Dst: dst.kind})
	t.tracePlan(grown)
}

// keepCopies has the last pipeful of a file go to a user's pipe through memory: what lies in
// the pipe when we leave must not refer to the file's pages.
func (t *Transfer) keepCopies(dst, src *Endpoint) {
	if path, _ := t.choice.Next(1); src.kind != File || dst.kind != Pipe || path != Splice || src.guard.fixed {
		return
	}
	if t.pump.left < 0 { // where the file ends is not known
		t.choice.throughMemory()
		return
	}
	t.choice.refer = t.pump.referable
}

// resetPeer forgets what is known of the last destination's peer if dst is another one.
func (t *Transfer) resetPeer(dst *Endpoint) {
	if t.pump.dst != dst {
		t.peerEnded, t.signOfLife, t.silence, t.queuedAt = false, time.Time{}, sock.Silence{}, time.Time{}
	}
}

// growPipe grows the user's own pipes to the size wanted, as far as the kernel grants
// it, and returns the capacity of the destination's pipe.
func (t *Transfer) growPipe(dst, src *Endpoint) int {
	for _, e := range []*Endpoint{src, dst} {
		if e.kind == Pipe && !t.NoSplice {
			t.Stats.PipeSize.Store(int64(growPipe(e.fd, cmp.Or(max(0, t.PipeSize), pipepool.DefaultSize))))
		}
	}
	if dst.kind == Pipe {
		return pipeCapacity(dst.fd)
	}
	return 0
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
		before := p.Bytes.Load()
		t.Threads.take()
		w, err := p.Step(n)
		t.Threads.give()
		if moved := p.Bytes.Load() - before; moved > 0 {
			t.moved = time.Time{} // the clock is only asked when there is a wait
			t.spuriousWakeups = 0
			t.spend(moved)
			if t.Grows != nil {
				t.Grows.Grow(moved)
			}
		}
		if err != nil {
			return err
		}
		now := time.Now()
		if len(t.leases) > 0 && now.Sub(t.leasesSeen) >= YieldEvery {
			t.checkLeases()
		}
		if now.Sub(yielded) >= YieldEvery {
			runtime.Gosched()
			yielded = now
		}
		switch w {
		case Ended:
			t.endSeen(time.Now())
			return nil
		case WantSrc:
			if lw.wait(w) {
				err = t.awaitBriefly(ctx, w, lw)
			} else {
				err = t.await(ctx, w, -1)
			}
		case WantDst:
			err = t.await(ctx, w, -1)
		}
		if err != nil {
			return err
		}
	}
}

// endSeen notes when the source ended, and when its last byte had moved: a peer may close much later.
func (t *Transfer) endSeen(now time.Time) {
	t.Stats.Ended.Store(steady(now))
	if last := t.moved; !last.IsZero() {
		now = last
	}
	t.Stats.LastByte.Store(steady(now))
}

// awaitBriefly waits for a full measure of bytes, but takes what is there when the sender pauses.
func (t *Transfer) awaitBriefly(ctx context.Context, w Want, lw *lowWater) error {
	before := time.Now()
	err := t.await(ctx, w, lowWaterPatience)
	lw.waited(time.Since(before) >= lowWaterPatience)
	return err
}

// checkLeases lets writers go on that wait for a file we read; what is left of it is copied. It asks
// one system call of each file, so steps do it only at times: a tree has hundreds that are not
// acknowledged yet.
func (t *Transfer) checkLeases() {
	if len(t.leases) == 0 {
		return
	}
	t.leasesSeen = time.Now()
	kept := t.leases[:0]
	for _, e := range t.leases {
		switch {
		case e.guard == nil || !e.guard.held:
			continue
		case e.leaseWanted():
			t.pump.digest.settle() // what the writer may change now was hashed before
			e.giveUpLease()
			if t.pump.src == e {
				t.choice.refer = nil
				t.choice.throughMemory()
			}
			if t.Trace != nil {
				t.Trace(Event{Kind: LeaseLost})
			}
		default:
			kept = append(kept, e)
		}
	}
	t.leases = kept
}

// Pool returns the process's pool for a size of pipe. All transfers share it, or
// each would leave its idle pipes open for as long as the pool keeps them.
func Pool(size int) *pipepool.Pool {
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
