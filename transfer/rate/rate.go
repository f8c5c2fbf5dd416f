package rate

import (
	"math"
	"sync"
	"time"
)

// The times of a Limiter.
const (
	// rateSlot is the time whose bytes may be saved up while idle. A
	// wait is for less, so that what a source then lets wait for is not lost
	// (see enough), and for at least half: at most 100 waits a second, at any rate.
	rateSlot = 20 * time.Millisecond

	// maxRateSlot bounds how long many who share one Limiter wait for their
	// turn, which comes less often the more they are.
	maxRateSlot = 500 * time.Millisecond

	// maxOversleep is how much of the time that a wait took too long is made up
	// for.
	maxOversleep = 250 * time.Millisecond
)

// A Limiter keeps bytes to a rate, by the generic cell rate algorithm (GCRA, ITU-T I.371). It
// never sleeps: Quantum returns how much may be moved now, or how long to wait before asking
// again, and Took takes the bytes that were moved. The mean is exact, whatever a system call
// moves, because a Limiter keeps the theoretical arrival time of the next byte:
//
//   - time spent in its own waits is credited, with up to 250 ms by which the
//     wait was overslept;
//   - time spent moving bytes is credited;
//   - of the time between, which is spent waiting for a source or a
//     destination, at most 20 ms are: a pause never turns into a burst.
//
// Quantum and Took are for one pump; many share a Limiter by a [Share] each, on
// any number of threads. The zero value, and nil, limit nothing.
type Limiter struct {
	Rate int64 // bytes a second; 0: no limit. Not to be changed in use.

	mu      sync.Mutex
	arrival time.Time // the theoretical arrival time of the next byte (GCRA); credit is the time since
	seen    time.Time // the last call
	own     flow

	// Where the rate is not enough for all, it is shared by deficit round robin. A limiter that
	// was refused since a round began is in the next; each of them gets the
	// same share of the credit, and none gets two before all had one.
	round   uint64
	began   time.Time
	active  int           // flows that the round is for
	claimed int           // flows of these that had their share
	share   time.Duration // of each
	waiting int           // flows in the next round
}

// A flow is what a Limiter knows of one pump, in the sense of deficit round robin.
type flow struct {
	served  uint64        // the round in which it last got something
	deficit time.Duration // what is left of its share in that round
	queued  uint64        // the round before the one it waits for, plus one
}

// Share is one pump's part in a [Limiter] that others use as well: when the
// rate is not enough for all, each gets the same. It may be dropped at any
// time. The zero value limits nothing.
type Share struct {
	Of *Limiter

	flow flow
}

// Quantum is [Limiter.Quantum] for one of many.
func (s *Share) Quantum(now time.Time) (n int64, wait time.Duration) {
	return s.Of.quantum(&s.flow, now)
}

// Took is [Limiter.Took].
func (s *Share) Took(n int64, now time.Time) { s.Of.took(&s.flow, n, now) }

// Quantum returns how many bytes may be moved at now. If that is 0, wait says
// when to ask again; asking early does no harm. Without a limit it is
// math.MaxInt64.
func (l *Limiter) Quantum(now time.Time) (n int64, wait time.Duration) {
	if l == nil {
		return math.MaxInt64, 0
	}
	return l.quantum(&l.own, now)
}

// Took tells that n bytes were moved, and that this was done at now. n may be
// more or less than Quantum allowed.
func (l *Limiter) Took(n int64, now time.Time) {
	if l != nil {
		l.took(&l.own, n, now)
	}
}

func (l *Limiter) took(f *flow, n int64, now time.Time) {
	if l == nil || l.Rate <= 0 {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	cost := l.cost(n)
	f.deficit -= cost
	l.settle(now, cost)
}

func (l *Limiter) quantum(f *flow, now time.Time) (n int64, wait time.Duration) {
	if l == nil || l.Rate <= 0 {
		return math.MaxInt64, 0
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.settle(now, 0)
	slot, enough, credit := l.slot(), l.enough(), now.Sub(l.arrival)
	if had := f.served == l.round; !had || f.deficit < l.cost(1) {
		if over := l.claimed >= l.active || now.Sub(l.began) >= l.longest(); l.waiting > 0 && over {
			if credit < enough-slot/4 {
				return l.refuse(f, enough-credit)
			}
			l.begin(credit, now)
		} else if had && !over { // it had its share, others have not
			return l.refuse(f, max(enough-credit, l.began.Add(l.longest()).Sub(now)))
		}
	}
	if credit < l.least() {
		return l.refuse(f, enough-credit)
	}
	if f.queued == l.round+1 {
		f.queued = 0
		l.waiting--
	}
	if f.served != l.round || f.deficit < l.cost(1) { // its share, or another where all had theirs
		f.served, f.deficit = l.round, l.share
		l.claimed++
	}
	return l.bytes(min(credit, f.deficit)), 0
}

// begin starts a round for all that wait.
func (l *Limiter) begin(credit time.Duration, now time.Time) {
	l.round++
	l.began, l.claimed = now, 0
	l.active, l.waiting = l.waiting, 0
	l.share = max(credit/time.Duration(l.active), l.cost(1))
}

// refuse puts a pump into the next round.
func (l *Limiter) refuse(f *flow, wait time.Duration) (int64, time.Duration) {
	f.deficit = 0
	if f.queued != l.round+1 {
		f.queued = l.round + 1
		l.waiting++
	}
	return 0, wait
}

// settle pays for what was taken, then cuts the credit to what the time since
// the last call is worth.
func (l *Limiter) settle(now time.Time, cost time.Duration) {
	slot := l.slot()
	if l.arrival.IsZero() { // the first bytes go at once, but they are not free
		l.share, l.seen = slot, now
		l.arrival = now.Add(-l.least())
	}
	limit := slot
	switch idle := now.Sub(l.seen); {
	case l.waiting > 0:
		limit = slot + maxOversleep
	case idle <= slot:
		limit = max(slot, l.seen.Sub(l.arrival)) // overslept time is not lost while bytes move
	}
	l.arrival = l.arrival.Add(cost)
	if earliest := now.Add(-limit); l.arrival.Before(earliest) {
		l.arrival = earliest
	}
	if now.After(l.seen) {
		l.seen = now
	}
}

// slot is the time's worth of bytes that a wait is for. Many flows wait longer,
// so that all together wake up some hundred times a second.
func (l *Limiter) slot() time.Duration {
	slot := min(max(rateSlot/8*time.Duration(l.active), rateSlot), maxRateSlot)
	return max(slot, l.cost(1))
}

// longest is how long a round lasts at the most, if a flow of it does not come for its share: a slot,
// but time for a byte of each. At 20 bytes a second the turn of the last of 30 comes after 1.5 s.
func (l *Limiter) longest() time.Duration {
	each := min(l.cost(1), time.Hour) // multiplied by the number of flows it does not overflow
	return max(l.slot(), time.Duration(l.active)*each)
}

// enough is the credit that a wait is for. One pump alone leaves three eighths of
// the slot for its source, which our wait has held up: a sender whose window was
// closed has to wake up before its bytes are there.
func (l *Limiter) enough() time.Duration {
	if l.active > 1 {
		return l.slot()
	}
	return max(l.slot()*5/8, l.cost(1))
}

// least is the smallest credit that is given out: less is not worth a system call.
func (l *Limiter) least() time.Duration {
	return max(min(l.slot()/8, l.share), l.cost(1))
}

// cost is the time that pays for n bytes. It is never 0: above 2 GB/s a byte takes less than half a
// nanosecond, and a share of 0 would never be used up, and never be renewed.
func (l *Limiter) cost(n int64) time.Duration {
	ns := max(1, math.Round(float64(n)/float64(l.Rate)*1e9))
	return time.Duration(min(ns, float64(math.MaxInt64/4)))
}

// bytes is what d pays for.
func (l *Limiter) bytes(d time.Duration) int64 {
	return max(1, int64(float64(d)*float64(l.Rate)/1e9))
}
