package cmd

import (
	"context"
	"errors"

	"github.com/zcp-go/zcp/cmd/conf"
	"github.com/zcp-go/zcp/cmd/exit"
	"github.com/zcp-go/zcp/cmd/files"
	"github.com/zcp-go/zcp/cmd/show"
	"github.com/zcp-go/zcp/transfer"
)

// runCat moves sources to stdout, one after another, like cat, and shows it, like pv. A
// source that cannot be read is reported and passed over.
func runCat(ctx context.Context, out *show.Printer, c *conf.Cat) error {
	if c.Dest.Dir {
		return runCatInto(ctx, out, c)
	}
	j := newCatJob(out, c)
	j.watch(onTerminal(c.Dest))
	dst, err := j.openOutput(ctx, c)
	if err != nil {
		return j.refused(err)
	}
	j.begin()
	defer j.stop(false)
	var failed error
	if c.IsTree(c.Sources) {
		failed, err = j.catTree(ctx, dst, c)
	} else {
		failed, err = j.catAll(ctx, dst, fileNames(c.Sources))
	}
	if err == nil && failed == nil {
		err = j.complete(j.from)
	}
	if err == nil && failed == nil {
		err = j.checkDigest()
	}
	if err != nil {
		err = j.fail(err)
		dst.Abandon()
		return err
	}
	if err := dst.Commit(); err != nil {
		return j.fail(&transfer.Error{Side: transfer.Destination, Err: err})
	}
	j.endCopied(c, failed)
	return failed
}

// endCopied prints the last lines. Without a progress line the end is said with -v alone.
func (j *job) endCopied(c *conf.Cat, failed error) {
	if j.stop(failed == nil); failed == nil {
		j.sayDigest()
	}
	to := show.ForVerbose
	if c.Force || j.progress.ShowsLine() {
		to = show.ForMost
	}
	j.end("copied", "", "", to, failed)
}

func newCatJob(out *show.Printer, c *conf.Cat) *job {
	j := newJob(out, copying, c.Transfer, c.Length, 0)
	j.named(c.Sources, c.Dest)
	j.stdout = isStdout(c.Dest)
	j.shared = isShared(c.Sources)
	j.prove(c.Proof, c.Sources, c.IsTree(c.Sources))
	if size := rest(files.TotalSize(fileNames(c.Sources)), c.Skip); !c.IsTree(c.Sources) && (j.total.Load() < 0 || c.Estimate && size >= 0) {
		j.total.Store(size)
	}
	return j
}

// openOutput opens what cat writes to, unless it is one of the sources.
func (j *job) openOutput(ctx context.Context, c *conf.Cat) (*files.Output, error) {
	plan, err := files.Look(fileName(c.Dest), files.Options(c.Output), true)
	if err == nil {
		err = plan.RefuseSources(fileNames(c.Sources))
	}
	if err == nil && c.IsTree(c.Sources) {
		err = checkSources(c.Sources, c.Tree)
	}
	if err != nil {
		return nil, err
	}
	j.d.enter(show.Opening)
	return plan.Open(ctx, files.Idle)
}

// catAll moves every source. failed is the first error that concerned one source
// alone, and was reported; err ends the command.
func (j *job) catAll(ctx context.Context, dst *files.Output, sources []files.Name) (failed, err error) {
	if err := dst.Truncate(); err != nil {
		return nil, err
	}
	err = j.moveAll(ctx, dst.End, sources, files.Idle, func(name files.Name, e *transfer.Endpoint, err error) error {
		if e != nil {
			defer e.Close()
		}
		side, ok := errors.AsType[*transfer.Error](err)
		switch {
		case err != nil && (ctx.Err() != nil || ok && side.Side == transfer.Destination || errors.Is(err, transfer.ErrIdle)):
			return err
		case ok:
			err = exit.Classify(side.Err, exit.Where{Subject: name.String()})
		case e != nil:
			if changed := sourceChanged(j.out, e, name.String()); err == nil {
				err = changed
			}
		}
		if err != nil && failed == nil {
			failed = exit.Reported(err)
		}
		j.out.Error(err)
		return nil
	})
	return failed, err
}
