package cmd

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/zcp-go/zcp/cmd/exit"
	"github.com/zcp-go/zcp/cmd/show"
	"github.com/zcp-go/zcp/transfer"
)

// A role is which end of a delivery is a peer.
type role uint8

const (
	copying   role = iota // neither
	sending               // the destination, whose acknowledgements count
	receiving             // the source, which has to close
)

// A delivery is one transfer, over one connection where there is one, and what is known of
// its bytes: how many were delivered, how many acknowledged, how the peer ended.
type delivery struct {
	role role
	t    transfer.Transfer
	conn *transfer.Conn // nil until there is one; always for cat
	mu   sync.Mutex     // a status line must not ask a connection that is being closed

	atBreak atomic.Int64 // bytes that were acknowledged when the connection broke

	resumed bool                      // standAt was called
	began   atomic.Pointer[time.Time] // when bytes could move; nil: not yet
	phase   atomic.Int32
	opening atomic.Bool // a source is being opened: a FIFO waits for its writer

	how transfer.Delivery // of a send that ended well
	tcp transfer.TCPInfo  // taken before the connection was closed

	congestion string // of the connection, likewise
}

func (d *delivery) enter(p show.Phase) { d.phase.Store(int32(p)) }

// bytes returns how many were delivered.
func (d *delivery) bytes() int64 { return d.t.Stats.Bytes.Load() }

// acked returns how many bytes the peer's kernel has acknowledged; where the destination is
// not a peer, how many were delivered.
func (d *delivery) acked() int64 {
	n := d.bytes()
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.conn == nil || d.role != sending {
		return n
	}
	out, err := d.conn.Unacked()
	if err != nil {
		return n
	}
	return min(n, max(0, n-out))
}

// position returns how far into what is moved the delivery has come: what was there before, and what
// was moved.
func (d *delivery) position() int64 { return d.t.Stats.Offset.Load() + d.bytes() }

// standAt takes what a resumed delivery has found: so much is at the destination. Bytes are counted
// once, however often they were sent.
func (d *delivery) standAt(at int64) {
	s := &d.t.Stats
	if offset := s.Offset.Load(); d.resumed && at >= offset {
		s.Bytes.Store(at - offset)
	} else {
		s.Bytes.Store(0)
		s.Offset.Store(at)
	}
	s.AllAcked.Store(0)
	d.resumed = true
}

// connect gives the delivery its connection.
func (d *delivery) connect(c *transfer.Conn) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.conn = c
}

// disconnect resets the connection, of which another may take the place.
func (d *delivery) disconnect() {
	d.atBreak.Store(d.acked())
	d.enter(show.Broken)
	d.mu.Lock()
	c := d.conn
	d.conn = nil
	d.mu.Unlock()
	if c != nil {
		c.Close()
	}
}

// snapshot reads the counters, for Progress.
func (d *delivery) snapshot() show.Snapshot {
	s := show.Snapshot{Bytes: d.bytes(), Offset: d.t.Stats.Offset.Load(), Phase: show.Phase(d.phase.Load())}
	if s.Phase == show.Connecting || s.Phase == show.Opening { // there is no peer yet whose acknowledgements could be asked for
		return s
	}
	if s.Phase == show.Broken {
		s.Acked = min(d.atBreak.Load(), s.Bytes)
		return s
	}
	s.Acked = min(d.acked(), s.Bytes)
	switch side, _ := d.t.Stats.Waiting(); {
	case side == transfer.Source, d.opening.Load():
		s.Waiting = show.Source
	case side == transfer.Destination:
		s.Waiting = show.Destination
	}
	if s.Phase == show.Closing && s.Acked < s.Bytes {
		s.Phase, s.Waiting = show.Moving, show.Destination
	}
	return s
}

// took is the time to the last acknowledged byte, or until now; what a sender took to close is not in it.
func (d *delivery) took() time.Duration {
	began := d.began.Load()
	switch at := d.t.Stats.AllAcked.Load(); {
	case began == nil:
		return 0
	case at > 0:
		return d.t.Stats.At(at).Sub(*began)
	}
	return max(0, time.Since(*began)-d.closedLater())
}

// begin starts the clock.
func (d *delivery) begin() {
	now := time.Now()
	d.began.Store(&now)
}

// closedLater is how long after its last byte a sender closed, in a delivery that receives.
func (d *delivery) closedLater() time.Duration {
	if d.role != receiving || d.bytes() == 0 {
		return 0
	}
	return max(0, time.Duration(d.t.Stats.Ended.Load()-d.t.Stats.LastByte.Load()))
}

// place says what a side of the transfer is.
func (d *delivery) place(side transfer.Side) exit.Place {
	if d.role == receiving && side == transfer.Source || d.role == sending && side == transfer.Destination {
		return exit.Connected
	}
	return exit.Local
}
