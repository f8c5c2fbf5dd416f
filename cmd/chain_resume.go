package cmd

import (
	"context"
	"math/rand/v2"

	"github.com/zcp-go/zcp/cmd/conf"
	"github.com/zcp-go/zcp/cmd/exit"
	"github.com/zcp-go/zcp/cmd/files"
	"github.com/zcp-go/zcp/cmd/proof"
	"github.com/zcp-go/zcp/transfer"
)

// A resumedNext passes on what a next lacks of a growing file, on one connection after the other.
type resumedNext struct {
	resumedSend // src is the target's reader
	n           *chain
	t           *target
	heals       bool // a connection that breaks is followed by another
}

// startResumed is start with --resume. there is how much is stored and known to be of the sender's file, of size
// bytes; -1: it has not said. After the first time it only tells that.
func (n *chain) startResumed(dst *files.Output, size, there int64) error {
	n.size.Store(size)
	n.stored.Reach(there)
	return n.passFile(dst, n.passOnResumed)
}

// passOnResumed is passOn to a next that may say where to begin. A connection that breaks is followed by another for
// --retry-for.
func (n *chain) passOnResumed(ctx context.Context, t *target, conn *transfer.Conn, src *transfer.Endpoint) error {
	h := &healer{j: t.job, m: t.m, patience: t.m.net.RetryFor}
	if t.m.op.Kind == conf.FD || t.m.op.Kind == conf.SD {
		h.patience = 0 // it is one connection, and cannot be made again
	}
	if h.patience > 0 && t.m.net.Idle <= 0 {
		t.d.t.Idle, t.heard.limit = healIdle, busyLimit
	}
	r := &resumedNext{resumedSend: resumedSend{j: t.job, c: &conf.Send{Network: t.m.net}, src: src}, n: n, t: t, heals: h.patience > 0}
	if err := h.runFrom(ctx, conn, r.once); err != nil {
		return t.breakOff(err)
	}
	t.endSend(nil)
	return nil
}

// once passes on on one connection, and ends it.
func (r *resumedNext) once(ctx context.Context, conn *transfer.Conn) error {
	j := r.j
	j.meet(conn)
	j.heard.again()
	at, err := r.begin(ctx, conn)
	if err != nil {
		return err
	}
	if err := r.src.MoveTo(at); err != nil {
		return &transfer.Error{Op: "lseek", Side: transfer.Source, Err: exit.Cause(err)}
	}
	j.d.standAt(at)
	_, err = j.d.t.MoveGrowing(ctx, conn.Endpoint, r.src, &r.n.stored, at)
	if err == nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	linger := r.n.linger
	if r.asked && r.heals {
		linger = min(linger, healIdle) // it gives signs of life, so one that does not has vanished
	}
	if err = j.finish(ctx, conn, linger, err); err != nil {
		return err
	}
	switch { // a receiver that goes on does neither
	case r.asked && j.d.how == transfer.PeerClosedEarly:
		return brokenOff("%s: closed before it had everything", j.label)
	case r.asked && r.heals && j.d.how == transfer.PeerStayedOpen:
		return brokenOff("%s: has not closed, and has not been heard of since", j.label)
	}
	<-r.n.digested
	j.proof.digest = r.n.proof.digest
	if j.verdict() == nil {
		if err := r.t.stayedOpen(); err != nil {
			return err
		}
	}
	return r.proven(ctx, conn)
}

// begin answers a next that says where it is. Without a size there is no answer: the sender's own stream is plain.
func (r *resumedNext) begin(ctx context.Context, conn *transfer.Conn) (int64, error) {
	r.size = r.n.knownSize()
	if r.size >= 0 {
		return r.resumedSend.begin(ctx, conn)
	}
	r.j.out.Say("%s: the size is not known, so it is passed on from the start (-s SIZE tells it)", r.t.label)
	return 0, nil
}

// knownSize is that of the file, or -1.
func (n *chain) knownSize() int64 {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.complete {
		return n.job.d.position()
	}
	return n.size.Load()
}

// passOn begins to pass on what is stored, when it is known to be of the sender's file; after a break it only
// tells how much there is.
func (r *resumedRecv) passOn(size, there int64) error {
	if r.j.next == nil {
		return nil
	}
	return r.j.next.startResumed(r.dst, size, there)
}

// again meets a sender that has broken off after everything was stored, while the nexts were waited for: what it
// sends once more is here, and was compared before.
func (r *resumedRecv) again(ctx context.Context, conn *transfer.Conn) error {
	r.j.meet(conn)
	r.from = r.j.peerName()
	want := proof.Want{From: r.j.d.position(), Key: rand.Uint64()}
	at, held, answered, err := r.ask(ctx, conn, want)
	if err == nil && !answered {
		err = brokenOff("%s: did not say where it begins, as send --resume does", r.from)
	}
	if err == nil {
		err = r.check(want, at)
	}
	if err != nil {
		return err
	}
	over := make([]byte, want.From-at.From+1)
	n := copy(over, held)
	m, err := r.j.d.t.ReadFull(ctx, conn.Endpoint, over[n:])
	switch n += m; {
	case err != nil:
		return err
	case n == len(over):
		return r.long()
	case n < len(over)-1:
		return r.short(at.From + int64(n))
	}
	return r.close(ctx)
}

// close ends a connection when all nexts have everything too.
func (r *resumedRecv) close(ctx context.Context) error {
	if r.j.next != nil && !r.answers {
		ctx = r.j.next.ctx // a plain stream cannot be gone on with, so no other connection takes its place
	}
	if err := r.j.next.await(ctx); err != nil {
		return err
	}
	r.j.sendReceipt()
	return r.j.closeOrderly()
}
