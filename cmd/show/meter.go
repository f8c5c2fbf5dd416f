package show

import (
	"cmp"
	"fmt"
	"time"
)

// Snapshot is the state of a transfer at one moment, as counters tell it.
type Snapshot struct {
	Bytes   int64 // delivered to the destination by the system calls
	Acked   int64 // of these acknowledged by the peer's kernel; Bytes where nothing is acknowledged
	Offset  int64 // bytes that were at the destination before; part of Total, not of Bytes
	Total   int64 // bytes to expect from all sources together; -1: not known
	About   bool  // Total is an estimate
	Files   int64 // files of a tree that are done; 0: none, or it is not a tree
	Phase   Phase
	Waiting Side // which side keeps the transfer waiting at this moment

	// Of several deliveries, the slowest one stands here.
	Targets int    // how many there are; 0: one, which is not counted
	Ended   int    // of these, those that have everything
	To      string // what the slowest one goes to; empty: Meter.To
}

// Phase is how far a transfer has come.
type Phase uint8

const (
	Moving     Phase = iota // bytes move, or should
	Connecting              // there is no connection yet; nothing is shown
	Opening                 // the destination is being opened; nothing is shown
	Closing                 // everything is acknowledged, the peer has not closed
	Storing                 // everything is written, fsync runs
	Verifying               // everything is written, what was stored is being read back
	Broken                  // the connection has broken, the next one is waited for
)

// Side is an end of a transfer.
type Side uint8

const (
	Neither     Side = iota // or it is not known
	Source                  // it has nothing to read
	Destination             // it takes nothing more
)

// When the line says that something is wrong.
const (
	stallAfter = 2 * time.Second
	closeAfter = 5 * time.Second // then a silent sender may keep its side open, as nc does
)

// The windows over which rates are taken: the rate shown follows the present,
// the ETA does not jump with it.
const (
	rateWindow = 2 * time.Second
	etaWindow  = 10 * time.Second
	sampleGap  = 150 * time.Millisecond // so that 70 samples reach back etaWindow
)

// afterAll are the remarks on the phases after the last byte.
var afterAll = [Broken + 1]Remark{
	Closing:   {"all acknowledged, waiting for the peer to close", "waiting for the peer", "closing"},
	Verifying: {"all is there, reading back what was stored", "reading back", "verifying"},
	Storing:   {"waiting for the disk to store it (fsync)", "waiting for the disk", "fsync"},
}

func broken(since time.Duration) Remark {
	short := "broken " + seconds(since)
	return Remark{short + ", waiting for the next connection", short + ": no connection", short}
}

func stalled(since time.Duration, side string) Remark {
	short := "stalled " + seconds(since)
	if side == "" {
		return Remark{short, short, short}
	}
	return Remark{short + ", waiting for " + side, short + ": " + side, short}
}

func unclosed(since time.Duration) Remark {
	short := "stalled " + seconds(since)
	return Remark{short + ", waiting for the sender to close (nc needs -N)", short + ": nc needs -N", short}
}

// seconds writes a time without parts of a second, so that it counts steadily.
func seconds(d time.Duration) string {
	s := int64(d / time.Second)
	switch {
	case s < 60:
		return fmt.Sprintf("%ds", s)
	case s < 3600:
		return fmt.Sprintf("%dm%02ds", s/60, s%60)
	}
	return fmt.Sprintf("%dh%02dm", s/3600, s/60%60)
}

// Meter makes frames of snapshots. The zero value is ready: it starts with the
// first snapshot. It is not safe for concurrent use.
type Meter struct {
	From    string // what a reader calls the source: "the sender"; may be empty
	To      string // and the destination: "the receiver"
	FromNet bool   // the source is a peer that has to close its side

	start   time.Time
	speed   Speed
	last    Snapshot
	changed time.Time // when a byte was last seen to move
}

type sample struct {
	at time.Time
	n  int64
}

// Speed is a rate meter: it keeps what a counter showed over the last etaWindow. The zero
// value is ready. It is not safe for concurrent use.
type Speed struct {
	buf  [70]sample // a ring, oldest first from next on
	len  int
	next int
}

// newest returns the sample that is i before the newest.
func (r *Speed) newest(i int) *sample { return &r.buf[(r.next-1-i+2*len(r.buf))%len(r.buf)] }

// Add notes what the counter shows. A sample that comes within sampleGap of the one before
// the newest replaces the newest.
func (r *Speed) Add(at time.Time, n int64) {
	s := sample{at, n}
	if r.len > 1 && r.newest(0).at.Sub(r.newest(1).at) < sampleGap {
		*r.newest(0) = s
		return
	}
	r.buf[r.next] = s
	r.next = (r.next + 1) % len(r.buf)
	r.len = min(r.len+1, len(r.buf))
}

// Recent returns bytes per second over the last rateWindow.
func (r *Speed) Recent() float64 { return r.rate(rateWindow) }

// rate is the mean since the newest sample that is at least window old, or
// since the oldest there is.
func (r *Speed) rate(window time.Duration) float64 {
	if r.len == 0 {
		return 0
	}
	now, then := r.newest(0), r.newest(0)
	for i := 1; i < r.len && now.at.Sub(then.at) < window; i++ {
		then = r.newest(i)
	}
	if d := now.at.Sub(then.at).Seconds(); d > 0 {
		return max(0, float64(now.n-then.n)/d)
	}
	return 0
}

// Update takes a snapshot and returns what to show.
func (m *Meter) Update(s Snapshot, now time.Time) Frame {
	if m.start.IsZero() {
		m.start, m.changed = now, now
	}
	if s.Bytes != m.last.Bytes || s.Acked != m.last.Acked || s.Phase != m.last.Phase {
		m.changed = now
	}
	m.last = s
	m.speed.Add(now, s.Acked)
	f := Frame{Done: s.Offset + s.Acked, Total: s.Total, About: s.About, Files: s.Files, Elapsed: now.Sub(m.start), Rate: m.speed.Recent(), ETA: -1}
	if s.Targets > 0 {
		f.Count = fmt.Sprintf("%d/%d done", s.Ended, s.Targets)
	}
	if f.Elapsed > 0 {
		f.Mean = float64(s.Acked) / f.Elapsed.Seconds()
	}
	f.Remark = m.remark(now)
	switch rate := m.speed.rate(etaWindow); {
	case s.Total > 0 && f.Done >= s.Total:
		f.ETA = 0
	case s.Total > 0 && rate >= 1 && f.Rate > 0:
		f.ETA = time.Duration(min(float64(s.Total-f.Done)/rate, 1e9) * float64(time.Second))
	}
	return f
}

// remark says what is waited for.
func (m *Meter) remark(now time.Time) Remark {
	since := now.Sub(m.changed)
	switch r := afterAll[m.last.Phase]; {
	case r.Long != "":
		return r
	case m.last.Phase == Broken:
		return broken(since)
	case since < stallAfter:
		return Remark{}
	case m.last.Waiting == Destination:
		return stalled(since, cmp.Or(m.last.To, m.To))
	case m.last.Waiting == Source && m.FromNet && since >= closeAfter && m.last.Offset+m.last.Acked >= m.last.Total:
		return unclosed(since)
	case m.last.Waiting == Source:
		return stalled(since, m.From)
	}
	return stalled(since, "")
}

// Skip forgets d, in which the process was stopped: it counts neither for the
// clock nor for rates nor as a stall.
func (m *Meter) Skip(d time.Duration) {
	m.start, m.changed = m.start.Add(d), m.changed.Add(d)
	for i := range m.speed.len {
		s := m.speed.newest(i)
		s.at = s.at.Add(d)
	}
}
