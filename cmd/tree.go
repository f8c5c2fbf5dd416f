package cmd

import (
	"context"
	"path"

	"github.com/zcp-go/zcp/cmd/conf"
	"github.com/zcp-go/zcp/cmd/files"
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
	where := "to " + j.peerName()
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
	j.endSend(where, err)
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
