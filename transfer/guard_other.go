//go:build !linux

package transfer

import (
	"golang.org/x/sys/unix"

	"github.com/zcp-go/zcp/transfer/internal/sock"
)

// A stamp is what tells one state of a file from another without reading it.
type stamp struct {
	size int64
	mod  int64
}

func (e *Endpoint) stamp() (stamp, error) {
	var st unix.Stat_t
	err := sock.Retry(func() error { return unix.Fstat(e.fd, &st) })
	return stamp{st.Size, st.Mtim.Nano()}, err
}

func (e *Endpoint) protect(bool) {
	if e.kind != File || e.guard != nil && (e.guard.on || e.guard.settled) {
		return
	}
	g := new(guard)
	e.guard = g
	var err error
	if g.before, err = e.stamp(); err == nil {
		g.on = true
	}
}

func (e *Endpoint) byReference(Kind) bool { return false }
func (e *Endpoint) leaseWanted() bool     { return false }
func (e *Endpoint) giveUpLease()          {}
func (g *guard) release(int)              {}

// A watch would tell of writes; there is none here.
type watch struct{}

func (*watch) stop() (written, known bool) { return false, false }

// Verify ends the watch over a source and says what became of it.
func (e *Endpoint) Verify() SourceState {
	g := e.guard
	if g == nil || !g.on {
		return NotWatched
	}
	g.on = false
	if after, err := e.stamp(); err != nil || after != g.before {
		return Changed
	}
	return Unchanged
}
