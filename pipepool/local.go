package pipepool

import (
	"slices"
	"sync/atomic"
	"weak"
)

// localMax is how many idle pipes a Local keeps: enough that a loop's turn (epoll_wait hands out some tens of events)
// seldom goes to the shared pool, few enough that the other loops find something there after a burst.
const localMax = 64

// A Local is a stack of idle pipes that one goroutine has to itself, without a lock, in front of a shared Pool: for
// event loops, where one goroutine serves thousands of connections. Only that goroutine may call its methods. The zero
// value with Pool set is ready for use; a Local must not be copied.
//
// Pipes flow back to the shared pool when the Local has 64 of them, when the kernel refuses pipes (another loop may be
// the one that goes without), and by Trim, which the loop calls at every tick while Idle is not 0. The pool's timer does
// not reach into a Local: a loop that is about to wait without a limit must have an empty one.
type Local struct {
	// Pool is the shared pool, from which pipes come and to which they flow back.
	Pool *Pool

	top   *Pipe
	idle  atomic.Int32 // pipes that hang from top; written by the owner only, read by Stats
	low   int32        // fewest there were since the last Trim
	known bool         // Stats counts this Local
}

// Get lends a pipe as Pool.Get does, from the Local if it has one.
func (l *Local) Get() (*Pipe, error) {
	p := l.top
	if p == nil {
		return l.Pool.Get()
	}
	l.top = p.next
	n := l.idle.Load() - 1
	l.idle.Store(n)
	l.low = min(l.low, n)
	p.next, p.look = nil, lent
	if p.small {
		l.Pool.grow(p)
	}
	return p, nil
}

// Put takes back a pipe that the Local or its Pool lent, as Pool.Put does.
func (l *Local) Put(p *Pipe) {
	n := l.idle.Load()
	if p.Len != 0 || p.look != lent || p.pool != l.Pool || n >= localMax || l.Pool.denied.Load() != nil {
		l.Pool.Put(p)
		return
	}
	if verify {
		p.mustBeEmpty()
	}
	if !l.known {
		l.known = true
		l.Pool.meet(l)
	}
	p.look = 0 // not lent; only the pool counts looks
	p.next = l.top
	l.top = p
	l.idle.Store(n + 1)
}

// Trim hands the shared pool the pipes that were not needed since the last Trim, the coldest ones. Two Trims without a
// Get between them leave the Local empty.
func (l *Local) Trim() {
	n := l.idle.Load()
	at := &l.top
	for range n - l.low {
		at = &(*at).next
	}
	cold := *at
	*at = nil
	n -= l.low
	l.idle.Store(n)
	l.low = n
	for cold != nil {
		p := cold
		cold = p.next
		p.next, p.look = nil, lent
		l.Pool.Put(p)
	}
}

// Idle returns the number of pipes in the Local.
func (l *Local) Idle() int { return int(l.idle.Load()) }

// Close hands all pipes in the Local to the shared pool. It may be used again afterwards.
func (l *Local) Close() {
	l.low = l.idle.Load()
	l.Trim()
}

// meet has Stats count l. The pool holds l weakly, so that one that its loop forgot is collected, and its pipes closed.
func (pl *Pool) meet(l *Local) {
	pl.mu.Lock()
	defer pl.mu.Unlock()
	pl.locals = slices.DeleteFunc(pl.locals, func(w weak.Pointer[Local]) bool { return w.Value() == nil })
	pl.locals = append(pl.locals, weak.Make(l))
}

// inLocals counts the idle pipes in the Locals that are still there.
func (pl *Pool) inLocals() (n int) {
	pl.mu.Lock()
	defer pl.mu.Unlock()
	for _, w := range pl.locals {
		if l := w.Value(); l != nil {
			n += l.Idle()
		}
	}
	return n
}
