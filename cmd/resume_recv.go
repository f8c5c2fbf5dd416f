package cmd

import (
	"context"
	"fmt"
	"math/rand/v2"

	"github.com/zcp-go/zcp/cmd/conf"
	"github.com/zcp-go/zcp/cmd/exit"
	"github.com/zcp-go/zcp/cmd/files"
	"github.com/zcp-go/zcp/cmd/proof"
	"github.com/zcp-go/zcp/cmd/show"
	"github.com/zcp-go/zcp/cmd/text"
	"github.com/zcp-go/zcp/transfer"
)

// A resumedRecv receives what its .part lacks of a file, on one connection after the other.
type resumedRecv struct {
	j    *job
	c    *conf.Recv
	plan *files.Plan
	dst  *files.Output // open and locked from the first connection on
	size int64         // of the sender's file; -1: it has not said
	from string        // the sender of the last connection

	answers bool // it was asked where to begin, and said so
	stored  bool // everything has its name; only the nexts may not be done
}

// runRecvResumed is runRecv with --resume.
func runRecvResumed(ctx context.Context, j *job, c *conf.Recv, plan *files.Plan) error {
	if !plan.ViaPart() {
		return j.refused(exit.Usagef("--resume needs a regular file, and %s is not one", c.Dest))
	}
	h, err := newHealer(ctx, j, c.Network)
	if err != nil {
		return j.refused(err)
	}
	defer h.m.close()
	r := &resumedRecv{j: j, c: c, plan: plan, size: -1}
	defer j.stop(false)
	defer j.unfollow()
	err = h.run(ctx, r.once)
	if r.dst != nil {
		j.tellOf(r.dst)
	}
	if err != nil {
		j.stored.busy.stop()
		j.unfollow() // it reads what is closed next
		j.next.end(err)
		if r.dst != nil && !r.stored {
			j.kept = r.dst.Abandon()
		}
		return j.breakOff(err)
	}
	j.sayDigest()
	j.end("received", "from "+r.from, j.next.noteWith(j.stored.note), show.ForMost, nil)
	return nil
}

// once receives on one connection. When everything is stored under its name it ends the connection.
func (r *resumedRecv) once(ctx context.Context, conn *transfer.Conn) error {
	j := r.j
	if r.stored {
		return r.again(ctx, conn)
	}
	if err := r.open(ctx); err != nil {
		return err
	}
	j.meet(conn)
	r.from = j.peerName()
	there, err := r.dst.ToEnd()
	if err != nil {
		return &transfer.Error{Op: "lseek", Side: transfer.Destination, Err: exit.Cause(err)}
	}
	j.d.standAt(there)
	if err := r.receive(ctx, conn, there); err != nil {
		return err
	}
	if err := r.prove(ctx); err != nil {
		return err
	}
	j.next.end(nil)
	if err := j.commit(r.dst, r.c.Sync); err != nil {
		return err
	}
	r.stored = true
	return r.close(ctx)
}

// prove takes the digest of the whole file, with --verify and --sync that of what the device gives back. The
// sender is told that it takes its time; those lines end with the receipt, or with the error.
func (r *resumedRecv) prove(ctx context.Context) (err error) {
	j := r.j
	j.stored.busy = sayBusy(j.d.conn, busyEvery, j.readBack)
	defer func() {
		if err != nil {
			j.stored.busy.stop()
		}
	}()
	if j.proof.alg == "" {
		return nil
	}
	j.d.enter(show.Verifying)
	if j.proof.whole != nil {
		if err = j.wholeDigest(ctx, j.d.position(), transfer.Destination); err == nil {
			j.unfollow() // the file is closed next
		}
	} else {
		j.stored.device = proof.New(j.proof.alg)
		j.stored.done.Store(0)
		err = j.readDevice(ctx, r.dst, 0, j.d.position())
		j.proof.digest = proof.Hex(j.stored.device)
	}
	if err != nil {
		return err
	}
	return j.checkDigest()
}

// open takes up the .part at the first connection, or makes it.
func (r *resumedRecv) open(ctx context.Context) (err error) {
	if r.dst != nil {
		return nil
	}
	r.j.d.enter(show.Opening)
	if r.dst, err = r.plan.Open(ctx, files.Idle); err != nil {
		return err
	}
	r.j.tellOf(r.dst)
	if r.c.Sync && r.j.proof.verify && r.dst.Readable() {
		r.j.d.t.Digest = nil
	} else {
		r.j.follow(r.dst, r.j.d.position)
	}
	return nil
}

// receive asks for what is not there, and stores what comes.
func (r *resumedRecv) receive(ctx context.Context, conn *transfer.Conn, there int64) error {
	want := proof.Want{From: there, Key: rand.Uint64()}
	at, held, answered, err := r.ask(ctx, conn, want)
	switch {
	case err != nil:
		return err
	case !answered && there > 0:
		return r.notZcp(there)
	case !answered:
		return r.plain(ctx, conn, held)
	}
	if err := r.check(want, at); err != nil {
		return err
	}
	if there > 0 && r.j.breaks == 0 {
		r.j.out.Say("%s holds %s of %s, going on from there", r.dst.PartName(), text.Size(there), text.Size(at.Size))
	}
	if held, err = r.compare(ctx, conn, held, at, there); err != nil {
		return err
	}
	r.answers = true
	if err := r.passOn(r.size, there); err != nil {
		return err
	}
	return r.rest(ctx, conn, held, there)
}

// rest stores what is not there, of which held has come already, up to the end that the sender has told.
func (r *resumedRecv) rest(ctx context.Context, conn *transfer.Conn, held []byte, there int64) error {
	t := &r.j.d.t
	if int64(len(held)) > r.size-there {
		return r.long()
	}
	if _, err := t.Write(ctx, r.dst.End, held); err != nil {
		return err
	}
	if _, err := t.Move(ctx, r.dst.End, conn.Endpoint, r.size-r.j.d.position()); err != nil {
		return err
	}
	if at := r.j.d.position(); at < r.size {
		return r.short(at)
	}
	n, err := t.Read(ctx, conn.Endpoint, make([]byte, 1))
	if err == nil && n > 0 {
		err = r.long()
	}
	if err != nil {
		return err
	}
	return r.j.complete(r.from)
}

func (r *resumedRecv) short(at int64) error {
	return brokenOff("%s: ended after %s, %s bytes short", r.from, text.Size(at), text.Grouped(r.size-at))
}

func (r *resumedRecv) long() error {
	return &exit.Failure{Status: exit.Incomplete, Err: fmt.Errorf("%s: sends more than the %s that it told", r.from, text.Size(r.size))}
}

// plain stores the stream of a sender that is not asked where to begin, and whose first bytes are held.
func (r *resumedRecv) plain(ctx context.Context, conn *transfer.Conn, held []byte) error {
	size := int64(-1)
	if !r.j.length.Estimate {
		size = r.j.length.Size
	}
	if err := r.passOn(size, 0); err != nil {
		return err
	}
	if _, err := r.j.d.t.Write(ctx, r.dst.End, held); err != nil {
		return err
	}
	return r.j.recvInto(ctx, conn, r.dst.End, r.plan)
}
