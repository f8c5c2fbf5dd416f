package cmd

import (
	"cmp"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/zcp-go/zcp/cmd/exit"
	"github.com/zcp-go/zcp/cmd/proof"
	"github.com/zcp-go/zcp/cmd/show"
	"github.com/zcp-go/zcp/cmd/text"
	"github.com/zcp-go/zcp/transfer"
)

// busyLimit is how long a receiver may say the same of what it is busy with, where --idle is not given.
const busyLimit = time.Minute

// A hearing is what a sender has heard from its receiver.
type hearing struct {
	lines   proof.Parser
	receipt *proof.Done // nil: none has come
	another bool        // a second one has come, and says something else
	busy    proof.Busy
	limit   time.Duration // how long busy may stay the same; 0: --idle, or busyLimit
	passed  atomic.Int64  // how far it is with what it is busy with, for a chain; any goroutine may read it
	changed time.Time     // when busy last changed, or the wait began; zero: bytes still move
}

// again forgets what was heard on another connection. How far the next ones are it keeps: they are still there.
func (h *hearing) again() {
	h.lines, h.receipt, h.another, h.busy, h.changed = proof.Parser{}, nil, false, proof.Busy{}, time.Time{}
}

// hear takes what the receiver sends back. Its lines are signs of life, for as long as they tell of something new.
func (j *job) hear(b []byte) (alive bool, err error) {
	h := &j.heard
	h.lines.Feed(b, func(l proof.Line) {
		switch l := l.(type) {
		case proof.Done:
			alive = true
			if h.receipt == nil && !h.changed.IsZero() {
				h.changed = time.Now() // it may come late: the receiver was stopped
			}
			h.another = h.another || h.receipt != nil && *h.receipt != l
			h.receipt = &l
		case proof.Busy:
			alive = true
			j.hearBusy(l)
		}
	})
	limit := cmp.Or(h.limit, j.d.t.Idle, busyLimit)
	if alive && !h.changed.IsZero() && time.Since(h.changed) >= limit {
		f := &exit.Failure{Status: exit.TimedOut, Err: fmt.Errorf("%s: the receiver has been busy for %s without coming any further", j.pair(), text.Duration(limit))}
		if j.proof.verify {
			f.Status = exit.Unproven
		}
		return false, f
	}
	return alive, nil
}

func (j *job) hearBusy(l proof.Busy) {
	h := &j.heard
	if l == h.busy {
		return
	}
	if h.busy = l; h.changed.IsZero() {
		return // the bytes themselves are the sign
	}
	h.changed = time.Now()
	h.passed.Store(l.N + l.Bytes)
	if l.What == proof.VerifyDone {
		j.d.enter(show.Verifying)
	}
}

// verdict compares the receipt with what was sent.
func (j *job) verdict() error {
	if !j.proof.verify {
		return nil
	}
	j.takeDigest()
	mine := proof.Done{Bytes: j.d.bytes() + j.d.t.Stats.Offset.Load(), Alg: j.proof.alg, Digest: j.proof.digest}
	h, f := &j.heard, &exit.Failure{Status: exit.Unproven}
	switch said := h.receipt; {
	case said == nil:
		f.Err = errors.New("the receiver sent no receipt")
		f.Hint = "only zcp recv --verify sends one; with others compare digests: --hash " + mine.Alg + " here"
	case h.another:
		f.Err = errors.New("the receiver sent two receipts that differ")
	case said.Alg != mine.Alg:
		f.Err = fmt.Errorf("the receipt is by %s, not by %s", said.Alg, mine.Alg)
		f.Hint = "give both ends the same --hash"
	case said.Bytes != mine.Bytes || said.Digest != mine.Digest:
		f.Err = fmt.Errorf("what is stored is not what was sent: %s bytes of %s %s, not %s bytes of %s",
			text.Grouped(said.Bytes), said.Alg, said.Digest, text.Grouped(mine.Bytes), mine.Digest)
	default:
		j.proof.verified = true
		return nil
	}
	f.Err = fmt.Errorf("%s: %w", j.pair(), f.Err)
	return f
}

// receiptNote says that a receipt was right.
const receiptNote = "verified"

// sendNote says how a connection ended well.
func (j *job) sendNote() string {
	switch {
	case !j.proof.verified:
		return deliveryNote[j.d.how]
	case j.d.how == transfer.PeerStayedOpen:
		return receiptNote + "; the peer kept its side open"
	case j.heard.receipt.Hops > 0:
		return receiptNote + ", by " + text.Counted(j.heard.receipt.Hops+1, "machine")
	}
	return receiptNote
}
