package relay

import (
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/zcp-go/zcp/transfer"
)

// A loop drives many links on one goroutine. Everything in it but the inbox and the
// counts belongs to that goroutine. It is not locked to its thread: Gosched would be dear then.
type loop struct {
	r        *Relay
	poll     poller
	pipes    loopPipes
	now      int64      // nanoseconds since r.base, read once each turn
	long     int64      // now in the last turn that took longer than longTurn
	longEnd  int64      // and when that turn ended
	links    []*link    // by slot
	free     []int32    // slots
	spare    []*link    // links that ended, to be used again
	ended    []*link    // links that ended in this turn: this turn's events may still name them
	dialings []*dialing // to be used again
	timers   timers
	socks    []*listenSocket
	accepts
	counts
	neighbours
	share

	unanswered int64 // connections opened since a target answered or one ended in order

	leaving bool  // the loop ends with its last link
	stopped error // why every link is reset
	trimAt  int64
	yielded int64
	done    chan struct{}

	mu          sync.Mutex
	inbox       []func(*loop)
	wakePending bool // the poller was woken for what is in inbox
	closed      bool // nothing is taken into inbox any more
}

const trimEvery = int64(5 * time.Second) // how often pipes that were not needed leave the loop's list

func newLoop(r *Relay, socks []*listenSocket) (*loop, error) {
	p, err := r.newPoller()
	if err != nil {
		return nil, err
	}
	l := &loop{r: r, poll: p, socks: socks, done: make(chan struct{})}
	l.pipes.Pool, l.pipes.l = r.pool, l
	if l.reserved, err = reserveFDs(r.forTarget()); err != nil {
		p.close()
		return nil, err
	}
	for _, s := range socks {
		s.users.Add(1)
	}
	return l, nil
}

// close closes what the loop holds, and gives its listeners up.
func (l *loop) close() {
	l.leaveListeners()
	l.pipes.Close()
	l.releaseReserve()
	l.poll.close()
}

// run drives the loop until it leaves and its last link has ended, or until the poller or a
// listener fails.
func (l *loop) run() error {
	defer close(l.done)
	defer l.close()
	l.listen()
	err := l.turns()
	if err != nil {
		l.stop(err)
		for !l.shut() {
			l.readInbox()
		}
	}
	l.handOver()
	return err
}

func (l *loop) turns() error {
	for !l.leaving || len(l.links) > len(l.free) || !l.shut() {
		end := int64(time.Since(l.r.base))
		l.noteLongTurn(end)
		n, err := l.poll.wait(l.untilNext(end), l.r.keep())
		if err != nil {
			return err
		}
		l.now = int64(time.Since(l.r.base))
		l.watchItself(end)
		for i := range n {
			events, who := l.poll.event(i)
			l.dispatch(events, who)
		}
		l.readInbox()
		l.expire()
		l.recycle()
		if l.broken != nil {
			return l.broken
		}
		if l.now-l.yielded >= int64(transfer.YieldEvery) {
			runtime.Gosched()
			l.yielded = l.now
		}
	}
	return nil
}

// longTurn is how long a turn may take, in nanoseconds, before what it says of time is doubted.
const longTurn = int64(10 * time.Millisecond)

// noteLongTurn remembers the last turn that took long, as one does in which the process was stopped: what moved in
// it bears the time of its beginning, and may have moved at its end.
func (l *loop) noteLongTurn(end int64) {
	if end-l.now > longTurn {
		l.long, l.longEnd = l.now, end
	}
}

// movedBy returns when at the latest what bears a time has moved.
func (l *loop) movedBy(t int64) int64 {
	if t == l.long {
		return l.longEnd
	}
	return t
}

// dispatch handles one event; one for a link that has ended meanwhile is dropped.
func (l *loop) dispatch(events uint32, who token) {
	switch {
	case who == wakeToken:
	case who.slot < 0:
		l.accept(l.socks[firstListener-who.slot])
	default:
		if k := l.links[who.slot>>1]; k != nil && k.generation == who.generation {
			k.ready(int(who.slot&1), events)
			if k.lasts() {
				k.settle()
			}
		}
	}
}

// untilNext returns how long the loop may sleep from a time on, below 0 for as long as it takes.
func (l *loop) untilNext(from int64) time.Duration {
	next := sooner(l.timers.next(), l.resumeAt)
	if l.pipes.Idle() > 0 {
		next = sooner(next, l.trimAt)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case len(l.inbox) > 0:
		return 0
	case next == 0:
		return -1
	}
	return time.Duration(max(0, next-from))
}

// sooner returns the earlier of two times; 0 is none.
func sooner(a, b int64) int64 {
	if a == 0 || b > 0 && b < a {
		return b
	}
	return a
}

// post has the loop run f. Any goroutine may call it, also when the loop has ended: then it reports
// false, and f is never run.
func (l *loop) post(f func(*loop)) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return false
	}
	l.inbox = append(l.inbox, f)
	if !l.wakePending {
		l.wakePending = true
		l.poll.wake()
	}
	return true
}

// shut has the loop take nothing in any more, and reports whether it has done all that it was given.
func (l *loop) shut() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = len(l.inbox) == 0
	return l.closed
}

func (l *loop) readInbox() {
	l.mu.Lock()
	inbox := l.inbox
	l.inbox, l.wakePending = nil, false
	l.mu.Unlock()
	for _, f := range inbox {
		f(l)
	}
}

// expire does what is due.
func (l *loop) expire() {
	for {
		k := l.timers.due(l.now)
		if k == nil {
			break
		}
		k.timeout()
	}
	if l.resumeAt > 0 && l.now >= l.resumeAt {
		l.resumeAt = 0
		l.listen()
	}
	if l.now >= l.trimAt {
		l.pipes.Trim()
		l.trimAt = l.now + trimEvery
	}
}

// schedule has timeout called for k at the time at, or sooner if an earlier time is set.
func (k *link) schedule(at int64) {
	l := k.loop
	if at > 0 && (k.due == 0 || at < k.due) {
		l.timers.set(k, at)
	}
}

// newLink returns a link for a client that was just accepted.
func (l *loop) newLink() *link {
	var k *link
	if n := len(l.spare); n > 0 {
		k = l.spare[n-1]
		l.spare = l.spare[:n-1]
		generation := k.generation + 1
		*k = link{generation: generation}
	} else {
		k = new(link)
	}
	l.place(k)
	return k
}

// place puts a link into a slot of its own.
func (l *loop) place(k *link) {
	if n := len(l.free); n > 0 {
		k.slot = l.free[n-1]
		l.free = l.free[:n-1]
	} else {
		k.slot = int32(len(l.links))
		l.links = append(l.links, nil)
	}
	k.loop = l
	l.links[k.slot] = k
}

// recycle makes the links that ended in this turn available again, and the slots of those that left.
func (l *loop) recycle() {
	const keep = 256
	for i, k := range l.ended {
		l.free = append(l.free, k.slot)
		if len(l.spare) < keep {
			l.spare = append(l.spare, k)
		}
		l.ended[i] = nil
	}
	l.ended = l.ended[:0]
	l.free = append(l.free, l.vacated...)
	l.vacated = l.vacated[:0]
}

// drain stops accepting; the loop ends when its links have.
func (l *loop) drain() {
	l.leaveListeners()
	l.leaving = true
}

// stop resets every link.
func (l *loop) stop(why error) {
	l.drain()
	l.stopped = why
	for _, k := range l.links {
		if k != nil {
			k.end(Stopped, why)
		}
	}
}

// handOver leaves the counts of a loop that ends with the relay.
func (l *loop) handOver() {
	l.r.mu.Lock()
	defer l.r.mu.Unlock()
	l.r.finished.add(&l.counts)
	others := slices.Clone(l.r.loops) // what current has returned stays as it is
	l.r.loops = slices.DeleteFunc(others, func(x *loop) bool { return x == l })
}
