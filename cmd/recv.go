package cmd

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/zcp-go/zcp/cmd/conf"
	"github.com/zcp-go/zcp/cmd/exit"
	"github.com/zcp-go/zcp/cmd/files"
	"github.com/zcp-go/zcp/cmd/show"
	"github.com/zcp-go/zcp/cmd/tree"
	"github.com/zcp-go/zcp/transfer"
)

// runRecv moves what one peer sends to a file or stdout, or unpacks it into a directory, and passes it on with --to.
func runRecv(ctx context.Context, out *show.Printer, c *conf.Recv) error {
	if c.KeepOpen {
		return serveRecv(ctx, out, c)
	}
	j := newRecvJob(out, c, fileName(c.Dest))
	if len(c.To) > 0 {
		defer newChain(ctx, j, c).cancel(nil)
	} else {
		j.watch(onTerminal(c.Dest))
	}
	var plan *files.Plan
	var target *tree.Target
	var err error
	if c.Dest.Dir {
		target, err = tree.Look(c.Dest.Path, c.Dest.Text, c.NoClobber)
	} else if plan, err = files.Look(fileName(c.Dest), files.Options(c.Output), false); err == nil && j.next != nil {
		err = plan.Follows()
	}
	if err == nil && j.next != nil {
		err = j.next.prepare(ctx)
	}
	switch {
	case err != nil:
		return j.refused(err)
	case c.Dest.Dir:
		return j.over(ctx, c.Network, func(conn *transfer.Conn) error { return j.recvTree(ctx, conn, target, c) })
	case c.Resume:
		return runRecvResumed(ctx, j, c, plan)
	}
	return j.over(ctx, c.Network, func(conn *transfer.Conn) error { return j.recv(ctx, conn, plan, c.Sync) })
}

func newRecvJob(out *show.Printer, c *conf.Recv, dst files.Name) *job {
	j := newJob(out, receiving, c.Transfer, c.Length, c.Idle)
	j.named([]conf.Operand{c.Net}, c.Dest)
	j.to, j.net = dst.String(), c.Net
	j.prove(c.Proof, nil, false)
	if j.proof.members = c.Dest.Dir; !c.Dest.Dir {
		j.proof.name = checkName(dst)
	}
	j.stdout = isStdout(c.Dest)
	return j
}

// recv moves everything from a connection to where it was planned. The order of the end
// makes a zcp sender's good news true: the peer's end seen, the last byte written, DST
// complete under its name, and only then the connection closed in order. Every failure
// before that resets it, and the sender learns of it.
func (j *job) recv(ctx context.Context, conn *transfer.Conn, plan *files.Plan, sync bool) error {
	var dst *files.Output
	if j.proof.verify {
		plan.ReadBack()
	}
	j.hello = func(ctx context.Context, conn *transfer.Conn) (err error) {
		dst, err = plan.Open(ctx, func(ctx context.Context) error {
			return j.d.t.ServeWhileWaiting(ctx, conn.Endpoint, transfer.Destination)
		})
		if err == nil {
			j.tellOf(dst)
			j.proveStored(dst, sync)
			if err = j.next.start(dst); err != nil {
				j.kept = dst.Abandon()
			}
		}
		return err
	}
	if err := j.attach(ctx, conn); err != nil {
		return err
	}
	defer j.stop(false)
	err := j.recvInto(ctx, conn, dst.End, plan)
	if err == nil {
		err = j.readStored(ctx, dst)
	}
	if err == nil {
		err = j.checkDigest()
	}
	j.next.end(err)
	if err == nil {
		err = j.commit(dst, sync)
	}
	j.tellOf(dst)
	if err != nil {
		j.stored.busy.stop()
		j.next.end(err)
		j.kept = dst.Abandon()
		return j.breakOff(err)
	}
	if err = j.next.await(ctx); err != nil {
		j.stored.busy.stop()
		return j.breakOff(err)
	}
	j.sendReceipt()
	if err = j.closeOrderly(); err == nil {
		j.sayDigest()
	}
	j.end("received", "from "+j.peerName(), j.next.noteWith(j.stored.note), show.ForMost, err)
	return err
}

// commit makes what was written last under the name of DST.
func (j *job) commit(dst *files.Output, sync bool) error {
	if sync {
		j.d.enter(show.Storing)
	}
	if err := j.d.t.Threads.Do(dst.Commit); err != nil {
		return &transfer.Error{Op: "close", Side: transfer.Destination, Err: err}
	}
	return nil
}

// tellOf takes over the name of DST, which may be a later number than planned, and says with
// -v what the file system refused and was done without.
func (j *job) tellOf(dst *files.Output) {
	if name := dst.Name().String(); name != j.destination() {
		j.renamed.Store(&name)
	}
	for _, note := range dst.Notes() {
		j.out.Detail("%s", note)
	}
}

func (j *job) recvInto(ctx context.Context, conn *transfer.Conn, dst *transfer.Endpoint, plan *files.Plan) error {
	if err := j.firstBlock(ctx, conn, dst); err != nil {
		return err
	}
	if _, err := j.d.t.Move(ctx, dst, conn.Endpoint, j.left()); err != nil {
		return err
	}
	if err := j.complete(j.peerName()); err != nil {
		return err
	}
	if j.d.bytes() == 0 && plan.KeepsOld() && (j.length.Size != 0 || j.length.Estimate) {
		return &exit.Failure{Status: exit.Incomplete,
			Err:  fmt.Errorf("%s: nothing arrived from %s; what it held is kept", j.destination(), j.peerName()),
			Hint: "an empty file replaces it with -s 0"}
	}
	return nil
}

// firstBlock keeps what would act on a terminal off it: a first block that holds a zero byte
// is not text. Any other is passed on.
func (j *job) firstBlock(ctx context.Context, conn *transfer.Conn, dst *transfer.Endpoint) error {
	if dst.Kind() != transfer.Terminal || j.left() == 0 {
		return nil
	}
	j.d.t.NoSplice = true
	b := make([]byte, 64<<10)
	if left := j.left(); left >= 0 {
		b = b[:min(left, int64(len(b)))]
	}
	n, err := j.d.t.Read(ctx, conn.Endpoint, b)
	if err != nil {
		return err
	}
	if bytes.IndexByte(b[:n], 0) >= 0 {
		return &exit.Failure{Err: errors.New(j.from + ": binary data, and standard output is a terminal"),
			Hint: "zcp recv ... > /dev/tty if you mean it"}
	}
	_, err = j.d.t.Write(ctx, dst, b[:n])
	return err
}
