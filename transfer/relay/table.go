package relay

import (
	"cmp"
	"net/netip"
	"slices"
	"sync/atomic"
	"time"

	"github.com/zcp-go/zcp/transfer"
)

// counts are what a loop has seen. Only the loop adds to them; any goroutine may read them.
type counts struct {
	accepted, denied, opened, closed, unreachable, cut atomic.Int64
	bytes                                              [2]atomic.Int64 // up, down
	dropped, noPipe, noHeader                          atomic.Int64
}

// Totals are the figures of a Relay.
type Totals struct {
	Since       time.Time     // when it began
	Open        int           // connections now, those that wait for their target included
	Accepted    int64         // accepted connections
	Denied      int64         // connections that the gate refused
	Connected   int64         // targets that were reached
	Unreachable int64         // clients that were reset because the target was not
	Closed      int64         // connections that ended, in whatever way, those that never had a target included
	Broken      int64         // of these, those that ended by a reset, an error or a limit
	Up, Down    int64         // bytes delivered to the target and to the clients
	Dropped     int64         // bytes that were taken and could not be delivered
	NoHeader    int64         // clients that were reset because they said no valid PROXY header
	NoPipe      int64         // times that a direction had to go on through memory because no pipe was available
	Pipes       int           // pipes open now: two descriptors each
	MaxConns    int           // most connections at once
	Age         time.Duration // since it began
}

func (c *counts) add(o *counts) {
	for _, p := range [...][2]*atomic.Int64{
		{&c.accepted, &o.accepted}, {&c.denied, &o.denied}, {&c.opened, &o.opened}, {&c.closed, &o.closed},
		{&c.unreachable, &o.unreachable}, {&c.cut, &o.cut}, {&c.bytes[0], &o.bytes[0]}, {&c.bytes[1], &o.bytes[1]},
		{&c.dropped, &o.dropped}, {&c.noPipe, &o.noPipe}, {&c.noHeader, &o.noHeader},
	} {
		p[0].Add(p[1].Load())
	}
}

// Totals returns the figures now. Any goroutine may call it at any time.
func (r *Relay) Totals() Totals {
	r.mu.Lock()
	defer r.mu.Unlock()
	open := r.openNow() // before the counts: release comes after them
	var c counts
	c.add(&r.finished)
	for _, l := range r.loops {
		c.add(&l.counts)
	}
	t := Totals{
		Since: r.began, Open: open, MaxConns: r.MaxConns,
		Accepted: c.accepted.Load(), Denied: c.denied.Load(), Connected: c.opened.Load(), Unreachable: c.unreachable.Load(),
		Closed: c.closed.Load(), Broken: c.cut.Load(), Up: c.bytes[upFlow].Load(), Down: c.bytes[downFlow].Load(),
		Dropped: c.dropped.Load(), NoPipe: c.noPipe.Load(), NoHeader: c.noHeader.Load(),
	}
	if r.pool != nil {
		t.Pipes = r.pool.Stats().Open
		t.Age = time.Since(r.began)
	}
	return t
}

// count adds the end of a connection to the totals.
func (c *counts) count(e *Event) {
	c.dropped.Add(e.Dropped)
	switch {
	case e.Reason == TargetUnreachable:
		c.unreachable.Add(1)
	case e.Reason != Ended:
		c.cut.Add(1)
	}
	c.closed.Add(1)
}

// countGreeting adds the end of a connection whose client was never let in.
func (c *counts) countGreeting(reason Ending) {
	switch reason {
	case NotAdmitted:
		c.denied.Add(1)
	case NoHeader, ClientReset, ClientFailed: // in the middle of it
		c.noHeader.Add(1)
	}
}

// A ConnInfo is one connection of a Relay: a client, and the target's side of it.
type ConnInfo struct {
	ID               uint64
	Peer, Target     string   // addresses; Target is empty until it is connected
	Listener         string   // the address that accepted it
	Targets          []string // those of the listener, where none was reached
	Age, Silent      time.Duration
	Up, Down         int64 // bytes delivered to the target and to the client
	UpRate, DownRate int64 // bytes a second, lately
	Waits            Wait
	NoPipe           bool // a direction goes through memory because no pipe is available
}

// A Wait says what a connection waits for.
type Wait uint8

// What a connection can wait for.
const (
	WaitsForBytes   Wait = iota // a side to send
	WaitsForClient              // the client to take bytes that are ready
	WaitsForTarget              // the target to take bytes that are ready
	WaitsForBoth                // both to take bytes
	WaitsForConnect             // the target to be reached
	WaitsForLimit               // the rate limit
	WaitsForAck                 // a peer to acknowledge the last bytes
	WaitsForHeader              // the client to say its PROXY header
)

var waitNames = [...]string{"nobody sends", "client", "target", "both sides", "connecting", "rate limit", "last bytes", "PROXY header"}

func (w Wait) String() string { return waitNames[w] }

// Accepting tells whether a client that connects now is served: Serve runs, is not draining, and has room.
func (r *Relay) Accepting() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.loops) > 0 && !r.draining.Load() && r.open.Load() < int64(r.MaxConns)
}

// Alive tells whether Serve runs and every event loop answers within limit.
func (r *Relay) Alive(limit time.Duration) bool {
	loops := r.current()
	late := time.After(limit)
	answers := make(chan struct{}, len(loops))
	for _, l := range loops {
		l.post(func(*loop) { answers <- struct{}{} })
	}
	for _, l := range loops {
		select {
		case <-answers:
		case <-l.done:
		case <-late:
			return false
		}
	}
	return len(loops) > 0
}

// Table returns the connections that are open now, the oldest first. It waits for the loops, which answer
// between two turns.
func (r *Relay) Table() []ConnInfo {
	var rows []ConnInfo
	for _, l := range r.current() {
		part := make(chan []ConnInfo, 1)
		l.post(func(l *loop) { part <- l.rows() })
		select {
		case p := <-part:
			rows = append(rows, p...)
		case <-l.done:
		}
	}
	slices.SortFunc(rows, func(a, b ConnInfo) int { return cmp.Compare(a.ID, b.ID) })
	return slices.CompactFunc(rows, func(a, b ConnInfo) bool { return a.ID == b.ID }) // one may have moved meanwhile
}

func (l *loop) rows() []ConnInfo {
	rows := make([]ConnInfo, 0, len(l.links)-len(l.free))
	for _, k := range l.links {
		if k != nil {
			rows = append(rows, k.row())
		}
	}
	return rows
}

func (k *link) row() ConnInfo {
	l := k.loop
	up, down := &k.flows[upFlow], &k.flows[downFlow]
	c := ConnInfo{
		ID: k.id, Peer: addrName(k.peer), Age: time.Duration(l.now - k.began), Silent: time.Duration(l.now - k.moved),
		Up: up.Bytes.Load(), Down: down.Bytes.Load(), Waits: k.waits(), NoPipe: up.starved || down.starved,
		Listener: k.via.addr, UpRate: up.rate.at(l.now, up.Bytes.Load()), DownRate: down.rate.at(l.now, down.Bytes.Load()),
	}
	if k.dial != nil || k.target == nil {
		for _, t := range k.via.route.targets {
			c.Targets = append(c.Targets, t.String())
		}
	} else {
		c.Target = addrName(k.to)
		if k.target.path != "" {
			c.Target = "unix:" + k.target.path
		}
	}
	return c
}

// addrName names an address for people; only a Unix client has none.
func addrName(a netip.AddrPort) string {
	if !a.IsValid() {
		return "unix"
	}
	return a.String()
}

func (k *link) waits() Wait {
	up, down := &k.flows[upFlow], &k.flows[downFlow]
	target, client := !up.over && up.need == transfer.WantDst, !down.over && down.need == transfer.WantDst
	switch {
	case k.greeting != nil:
		return WaitsForHeader
	case k.dial != nil:
		return WaitsForConnect
	case k.flush:
		return WaitsForAck
	case target && client:
		return WaitsForBoth
	case target:
		return WaitsForTarget
	case client:
		return WaitsForClient
	case !up.over && up.need == transfer.WantMore || !down.over && down.need == transfer.WantMore:
		return WaitsForLimit
	}
	return WaitsForBytes
}

// A meter tells how fast a count grows, from whole seconds of it: it is read seldom and
// written often, and a connection on which nothing moves costs it nothing.
type meter struct {
	began int64 // of the second in progress
	base  int64 // the count then
	last  int64 // bytes a second in the one before
}

func (m *meter) moved(now, count int64) {
	if d := now - m.began; d >= int64(time.Second) {
		m.last = int64(float64(count-m.base) * float64(time.Second) / float64(d))
		m.began, m.base = now, count
	}
}

// at returns the rate: of the second in progress if it is long enough to tell.
func (m *meter) at(now, count int64) int64 {
	d := now - m.began
	if d < int64(time.Second)/4 {
		return m.last
	}
	return int64(float64(count-m.base) * float64(time.Second) / float64(d))
}
