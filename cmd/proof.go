package cmd

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"github.com/zcp-go/zcp/cmd/conf"
	"github.com/zcp-go/zcp/cmd/exit"
	"github.com/zcp-go/zcp/cmd/files"
	"github.com/zcp-go/zcp/cmd/proof"
	"github.com/zcp-go/zcp/cmd/show"
	"github.com/zcp-go/zcp/cmd/text"
	"github.com/zcp-go/zcp/transfer"
)

// A proofOf is what is to be proved of a job's bytes, and what is known of them.
type proofOf struct {
	alg    string // of the digest; empty: none is computed
	say    bool   // the digest is said
	expect string // what it must be, in hex; empty: anything
	name   string // of the file, for the line that sha256sum -c reads
	digest string // set when everything has moved

	verify   bool            // by a receipt
	verified bool            // the receipt is right
	members  bool            // what is stored are the members of an archive
	whole    *proof.Follower // hashes the whole file where only a part of it moves
}

// prove has the job's bytes hashed as they move, where that was asked for.
func (j *job) prove(p conf.Proof, sources []conf.Operand, tree bool) {
	j.proof = proofOf{alg: p.Algorithm(), say: p.Hash != "", expect: p.Expect, name: "-", verify: p.Verify}
	if len(sources) == 1 && !tree {
		j.proof.name = checkName(fileName(sources[0]))
	}
	if j.proof.alg != "" {
		j.d.t.Digest = proof.New(j.proof.alg)
	}
}

// checkName is a file's name as sha256sum -c opens it; - for what has none.
func checkName(n files.Name) string {
	if n.Path == "" {
		return "-"
	}
	return n.Path
}

// checkDigest compares the digest of what has moved with the one expected.
func (j *job) checkDigest() error {
	if j.proof.alg == "" {
		return nil
	}
	j.takeDigest()
	if j.proof.expect == "" || j.proof.expect == j.proof.digest {
		return nil
	}
	return &exit.Failure{Status: exit.Unproven, Err: fmt.Errorf("%s: not what was expected: its %s is %s", j.to, j.proof.alg, j.proof.digest)}
}

// sayDigest says the digest of a transfer that ended well.
func (j *job) sayDigest() {
	if !j.proof.say {
		return
	}
	j.takeDigest()
	j.out.Emit(&show.Digest{Hash: j.proof.alg, Digest: j.proof.digest, Name: j.proof.name,
		Check: proof.CheckLine(j.proof.digest, j.proof.name)})
}

// takeDigest takes the digest of what has moved, unless it is known already.
func (j *job) takeDigest() {
	if j.d.t.Digest != nil {
		j.proof.digest = proof.Hex(j.d.t.Digest)
	}
}

// follow has a whole file hashed, beside the mover, where only a part of it moves, and in several attempts. upTo returns how
// much of it is there.
func (j *job) follow(file io.ReaderAt, upTo func() int64) {
	if j.proof.alg != "" {
		j.d.t.Digest = nil
		j.proof.whole = proof.Follow(j.proof.alg, file, upTo)
	}
}

// unfollow ends what follow began. The file may be closed afterwards.
func (j *job) unfollow() {
	if j.proof.whole != nil {
		j.proof.whole.Stop()
	}
}

// wholeDigest waits for the digest of a file of n bytes that is followed.
func (j *job) wholeDigest(ctx context.Context, n int64, side transfer.Side) (err error) {
	if j.proof.whole == nil {
		return nil
	}
	j.proof.digest, err = j.proof.whole.Sum(ctx, n)
	if err != nil && ctx.Err() == nil {
		err = &transfer.Error{Op: "read", Side: side, Err: exit.Cause(err)}
	}
	return err
}

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
