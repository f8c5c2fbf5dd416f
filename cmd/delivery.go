package cmd

import (
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

	began   time.Time // when bytes could move; zero: not yet
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
	if d.conn == nil || d.role != sending {
		return n
	}
	out, err := d.conn.Unacked()
	if err != nil {
		return n
	}
	return min(n, max(0, n-out))
}

// snapshot reads the counters, for Progress.
func (d *delivery) snapshot() show.Snapshot {
	s := show.Snapshot{Bytes: d.bytes(), Offset: d.t.Stats.Offset.Load(), Phase: show.Phase(d.phase.Load())}
	if s.Phase == show.Connecting || s.Phase == show.Opening { // there is no peer yet whose acknowledgements could be asked for
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
	switch at := d.t.Stats.AllAcked.Load(); {
	case d.began.IsZero():
		return 0
	case at > 0:
		return d.t.Stats.At(at).Sub(d.began)
	}
	return max(0, time.Since(d.began)-d.closedLater())
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
