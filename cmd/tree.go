package cmd

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"

	"github.com/zcp-go/zcp/cmd/conf"
	"github.com/zcp-go/zcp/cmd/exit"
	"github.com/zcp-go/zcp/cmd/files"
	"github.com/zcp-go/zcp/cmd/show"
	"github.com/zcp-go/zcp/cmd/tree"
	"github.com/zcp-go/zcp/transfer"
)

// checkSources finds out, before anything is connected, that all sources are there.
func checkSources(sources []conf.Operand, t conf.Tree) error {
	if t.IsTree(sources) {
		return files.CheckTree(fileNames(sources))
	}
	return files.CheckReadable(fileNames(sources))
}

// treeSender sends the sources of a command as one tar stream.
func (j *job) treeSender(dst *transfer.Endpoint, sources []conf.Operand, t conf.Tree) *tree.Sender {
	about := j.ofSources()
	// A walk of its own costs a stat of each file: only where the percentage is shown.
	measure := j.total.Load() < 0 && j.progress != nil && j.progress.Shows()
	s := &tree.Sender{Transfer: &j.d.t, Dst: dst, Count: &j.tree, Measure: measure, Source: tree.Source{Exclude: t.Exclude, OneFileSystem: t.OneFileSystem,
		Special: t.Special, Xattrs: t.Xattrs, Report: about.Error, Note: func(line string) { about.Say("%s", line) }}}
	for _, src := range sources {
		r := tree.Root{Path: src.Path, Name: ".", Text: src.Text}
		if t.Tar {
			r.Name = path.Base(src.Path)
		}
		s.Source.Roots = append(s.Source.Roots, r)
	}
	return s
}

// sendTree is send for a tree. A member that is not as it should be does not end the stream: the
// peer gets an orderly end, and the status tells.
func (j *job) sendTree(ctx context.Context, conn *transfer.Conn, c *conf.Send) error {
	s := j.treeSender(conn.Endpoint, c.Sources, c.Tree)
	defer s.Close()
	err := s.Send(ctx)
	if err == nil {
		err = j.complete(j.from)
	}
	if err = j.finish(ctx, conn, c.Linger, err); err == nil {
		err = j.verdict()
	}
	if err != nil {
		return j.breakOff(err)
	}
	err = j.closeOrderly()
	s.Close() // the peer has closed, so it has read all pages
	if err == nil {
		err = s.Failed()
	}
	j.endSend(err)
	return err
}

// catTree writes a tree to an output. failed is what concerned single members, and was reported.
func (j *job) catTree(ctx context.Context, dst *files.Output, c *conf.Cat) (failed, err error) {
	if err := dst.Truncate(); err != nil {
		return nil, err
	}
	s := j.treeSender(dst.End, c.Sources, c.Tree)
	err = s.Send(ctx)
	s.Close()
	return s.Failed(), err
}

// recvTree is recv for a directory. Where members were refused the rest is in DST under its
// name, and the sender sees a reset: not all that it sent is there.
func (j *job) recvTree(ctx context.Context, conn *transfer.Conn, target *tree.Target, c *conf.Recv) error {
	if err := j.attach(ctx, conn); err != nil {
		return err
	}
	defer j.stop(false)
	unpacking, src, err := j.next.startTree(ctx, conn, c)
	var failed error
	if err == nil {
		failed, err = j.unpack(unpacking, src, target, c.Tree, c.Sync)
	}
	if err == nil {
		err = j.complete(j.peerName())
	}
	if j.next.end(err); err == nil {
		err = j.next.afterTree(ctx, failed)
	}
	if err != nil || failed != nil {
		j.stored.busy.stop()
	}
	if err != nil {
		return j.breakOff(err)
	}
	if failed != nil {
		j.end("received", "from "+j.peerName(), "", show.ForMost, failed)
		conn.Close()
		return failed
	}
	j.sendReceipt()
	if err = j.closeOrderly(); err == nil {
		j.sayDigest()
	}
	j.end("received", "from "+j.peerName(), j.next.noteWith(j.stored.note), show.ForMost, err)
	return err
}

// unpack unpacks one stream. failed is what concerned single members, and was reported.
func (j *job) unpack(ctx context.Context, src *transfer.Endpoint, target *tree.Target, t conf.Tree, sync bool) (failed, err error) {
	j.d.t.ReadBack = j.proof.verify
	u := &tree.Unpacker{Transfer: &j.d.t, Src: src, Special: t.Special, Fresh: target.Fresh(), Owners: os.Geteuid() == 0 && !t.AnyOwner,
		Xattrs: t.Xattrs, Count: &j.tree,
		Report: j.out.Error, Detail: func(line string) { j.out.Detail("%s", line) }}
	if err := u.Begin(ctx); err != nil {
		return nil, j.aboutStream(err)
	}
	root, err := target.Open()
	if err != nil {
		return nil, err
	}
	err = u.Run(root)
	if err == nil {
		// Everything is written, and the rest, fsync and names, may take long.
		j.proof.members, j.stored.bytes = false, u.Taken()
		j.readingBack()
		if sync {
			j.d.enter(show.Storing)
		}
		err = target.Commit(sync)
	}
	if err != nil {
		j.kept = target.Abandon()
		return nil, j.aboutStream(err)
	}
	return u.Failed(), nil
}

// aboutStream names the source where the stream is not as it should be.
func (j *job) aboutStream(err error) error {
	if f, ok := errors.AsType[*exit.Failure](err); ok {
		return &exit.Failure{Status: f.Status, Hint: f.Hint, Err: fmt.Errorf("%s: %w", j.from, f.Err)}
	}
	return err
}

// runCatInto unpacks one source into a directory.
func runCatInto(ctx context.Context, out *show.Printer, c *conf.Cat) error {
	j := newJob(out, copying, c.Transfer, c.Length, 0)
	name := fileName(c.Sources[0])
	j.named(c.Sources, c.Dest)
	j.prove(c.Proof, c.Sources, false)
	j.watch(false)
	target, err := tree.Look(c.Dest.Path, c.Dest.Text, c.NoClobber)
	if err != nil {
		return j.refused(err)
	}
	j.d.enter(show.Opening)
	src, err := files.OpenSource(ctx, name, files.Idle)
	if err != nil {
		return j.refused(err)
	}
	defer src.Close()
	j.begin()
	defer j.stop(false)
	failed, err := j.unpack(ctx, src, target, c.Tree, c.Sync)
	if err == nil {
		err = j.complete(j.from)
	}
	if err != nil {
		return j.fail(err)
	}
	if changed := sourceChanged(j.out, src, j.from); changed != nil {
		j.out.Error(changed)
		failed = tree.Worse(failed, exit.Reported(changed))
	}
	j.endCopied(c, failed)
	return failed
}
