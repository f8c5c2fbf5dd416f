package relay

import (
	"errors"
	"time"
)

// ErrCircle is with the AcceptPaused of a relay whose target leads back to it, as far as it can tell: over a
// second relay each connection makes the next one, until no descriptor is left.
var ErrCircle = errors.New("the target answers no connection and may lead back to this relay")

const (
	// circleLeast is how many connections in a row were opened, and no target answered and no connection
	// ended in order, before a relay that has reached MaxConns is taken to be in a circle.
	circleLeast = 256
	// circlePause is put before each connect then. A reset runs along a circle in microseconds for each
	// connection; without the pause the head of the chain grew as fast as its tail was reset, for ever.
	circlePause = 100 * time.Millisecond
)

// suspectCircle is called when MaxConns are open.
func (l *loop) suspectCircle() {
	if l.unanswered >= circleLeast && l.r.circling.CompareAndSwap(false, true) {
		l.r.emit(Event{Kind: AcceptPaused, Err: ErrCircle, Open: l.r.openNow()})
	}
}

// answered is called when a target has sent something or a connection has ended in order.
func (l *loop) answered() {
	l.unanswered = 0
	if l.r.circling.Load() {
		l.r.circling.Store(false)
	}
}

// pauseInCircle puts a connect off where the target may lead back here, and reports whether it did. Its client is
// watched meanwhile, so that a reset ends the chain here.
func (k *link) pauseInCircle() bool {
	if !k.loop.r.circling.Load() {
		return false
	}
	if err := k.watch(clientEnd, 0); err != nil {
		k.end(Failed, err)
		return true
	}
	k.putOff(circlePause)
	return true
}
