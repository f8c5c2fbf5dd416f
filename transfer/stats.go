package transfer

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// Counters are what the driver of a transfer adds to while it runs; any goroutine
// may read them. Bytes counts what the system calls delivered to the destination:
// bytes that are still in a pipe of ours are not in it.
type Counters struct {
	Bytes atomic.Int64
	Calls atomic.Int64 // system calls that moved bytes or tried to
}

// epoch is where the clock of Stats begins.
var epoch = time.Now()

// steady is t in nanoseconds since the epoch, as the steady clock counts them: a wall clock that
// is set meanwhile, by hand or by NTP, moves none of them.
func steady(t time.Time) int64 { return epoch.UnixNano() + int64(t.Sub(epoch)) }

// Stats is what can be told of a transfer while it runs and after it.
type Stats struct {
	Counters
	Offset   atomic.Int64 // bytes of the sources that segments skipped, because the destination has them; not in Bytes
	Dropped  atomic.Int64 // bytes that the peer of a destination socket sent, read and discarded
	Digested atomic.Int64 // bytes that Transfer.Digest has got so far
	Lost     atomic.Int64 // bytes taken from the source that could not be delivered any more
	AllAcked atomic.Int64 // when the peer had acknowledged everything, for At; 0: not yet
	LastByte atomic.Int64 // when the last byte of a source that has ended had moved, for At; 0: none has ended
	Ended    atomic.Int64 // and when its end was seen
	WaitSrc  atomic.Int64 // nanoseconds spent waiting for the source
	WaitDst  atomic.Int64 // nanoseconds spent waiting for the destination
	WaitRate atomic.Int64 // nanoseconds spent waiting for the rate limit
	WaitHash atomic.Int64 // nanoseconds spent waiting for the digest
	waiting  atomic.Int64 // Side in the low two bits, start of the wait in nanoseconds since epoch above
	paths    [numPaths]atomic.Int64
	calls    [numPaths]atomic.Int64
	PipeSize atomic.Int64 // bytes granted to the borrowed pipe or to the user's own, 0 if none was used

	mu        sync.Mutex
	fallbacks []Fallback
}

// A Fallback is a path that was refused, and why.
type Fallback struct {
	Path Path
	Err  error
	Side Side
	At   int64 // bytes delivered before it
}

func (f Fallback) String() string {
	return fmt.Sprintf("%s refused by the %s after %d bytes: %v", f.Path, f.Side, f.At, f.Err)
}

// Fallbacks returns the refusals so far.
func (s *Stats) Fallbacks() []Fallback {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Fallback(nil), s.fallbacks...)
}

// At returns the moment that a time of Stats stands for, in nanoseconds since the epoch by the
// steady clock of this process: to be compared with what time.Now returned here.
func (s *Stats) At(ns int64) time.Time { return epoch.Add(time.Duration(ns - epoch.UnixNano())) }

func (s *Stats) fellBack(f Fallback) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fallbacks = append(s.fallbacks, f)
}

// Path returns how many bytes a path delivered, and with how many system calls.
func (s *Stats) Path(p Path) (n, calls int64) { return s.paths[p].Load(), s.calls[p].Load() }

// Paths returns the paths that delivered bytes, cheapest first.
func (s *Stats) Paths() []Path {
	var ps []Path
	for p := range numPaths {
		if s.paths[p].Load() > 0 {
			ps = append(ps, p)
		}
	}
	return ps
}

// Waiting returns the side that is being waited for now, and since when.
func (s *Stats) Waiting() (Side, time.Time) {
	w := s.waiting.Load()
	if w == 0 {
		return Neither, time.Time{}
	}
	return Side(w & 3), s.At(w &^ 3)
}

func (s *Stats) wait(side Side, since time.Time) { s.waiting.Store(steady(since)&^3 | int64(side)) }

func (s *Stats) waited(side Side, d time.Duration) {
	s.waiting.Store(0)
	switch side {
	case Source:
		s.WaitSrc.Add(int64(d))
	case Destination:
		s.WaitDst.Add(int64(d))
	}
}
