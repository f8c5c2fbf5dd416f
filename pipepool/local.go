package pipepool

// A Local is the free list of one goroutine, without a lock, in front of a shared Pool: the two levels of HAProxy.
// Only the goroutine that owns a Local may call its methods.
type Local struct {
	// Pool is the shared pool behind; it must be set.
	Pool *Pool

	free []*Pipe
	low  int
}

// localMax is how many pipes a Local keeps; what comes back beyond them goes to the shared pool.
const localMax = 64

// Get lends a pipe from the list, or from the shared pool if the list is empty.
func (l *Local) Get() (*Pipe, error) {
	n := len(l.free)
	if n == 0 {
		return l.Pool.Get()
	}
	p := l.free[n-1]
	l.free[n-1] = nil
	l.free = l.free[:n-1]
	l.low = min(l.low, n-1)
	p.idle = false
	return p, nil
}

// Put takes a pipe back, as Pool.Put does.
func (l *Local) Put(p *Pipe) {
	if p.Len != 0 || p.idle || len(l.free) >= localMax {
		l.Pool.Put(p)
		return
	}
	p.idle = true
	l.free = append(l.free, p)
}

// Trim gives the shared pool the pipes that were not needed since the last Trim. Call it at every tick of the loop
// while Idle is not 0: two ticks without traffic leave the list empty.
func (l *Local) Trim() {
	for range l.low {
		n := len(l.free)
		p := l.free[n-1]
		l.free[n-1] = nil
		l.free = l.free[:n-1]
		p.idle = false
		l.Pool.Put(p)
	}
	l.low = len(l.free)
}

// Idle returns the number of pipes in the list.
func (l *Local) Idle() int { return len(l.free) }

// Close gives every pipe in the list to the shared pool. The Local can be used again.
func (l *Local) Close() {
	l.low = len(l.free)
	l.Trim()
}
