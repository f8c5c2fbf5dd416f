package cmd

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/zcp-go/zcp/cmd/conf"
	"github.com/zcp-go/zcp/cmd/exit"
	"github.com/zcp-go/zcp/cmd/files"
	"github.com/zcp-go/zcp/cmd/text"
	"github.com/zcp-go/zcp/transfer"
)

// streamed tells whether sources can be read only once, so that all targets get what one reader
// reads. A file is opened for each target, and so is a tree.
func streamed(sources []conf.Operand, t conf.Tree) bool {
	if t.IsTree(sources) {
		return false
	}
	for _, src := range sources {
		switch src.Kind {
		case conf.Zero:
		case conf.File:
			fi, err := os.Stat(src.Path)
			if err == nil && !fi.Mode().IsRegular() && fi.Mode().Type() != os.ModeDevice {
				return true
			}
		default:
			return true
		}
	}
	return false
}

// sendStream sends what can be read only once: the job's own Transfer reads it into a Fanout, and
// each target is sent what its branch gives. It begins when all targets are connected or given up.
func (f *fanout) sendStream(ctx context.Context, c *conf.Send) error {
	stage, err := f.stage(len(f.targets), c.Transfer, c.DropSlow)
	if err != nil {
		return f.refused(err)
	}
	for _, t := range f.targets { // the rate is that of the source; its silence is not the target's
		t.d.t.Limits, t.d.t.IdleOf, t.d.t.Digest = nil, transfer.Destination, nil
	}
	f.d.t.IdleOf = transfer.Source
	sound, broken := context.WithCancelCause(ctx)
	defer broken(nil)
	branches := map[*target]*transfer.Endpoint{}
	for i, t := range f.targets {
		branches[t] = stage.Branch(i)
		t.leave = func() { stage.Branch(i).Close() } // the stage goes on without it
	}
	hashed := make(chan struct{})
	all := f.start(sound, func(ctx context.Context, t *target, conn *transfer.Conn) error {
		return t.deliver(ctx, conn, c.Linger, func(ctx context.Context) error {
			_, err := t.d.t.Move(ctx, conn.Endpoint, branches[t], -1)
			return err
		}, func() error {
			<-hashed // where the end has been sent, all was read
			t.proof.digest = f.proof.digest
			return t.verdict()
		})
	})
	f.dialing.Wait()
	moving, stopMoving := context.WithCancelCause(sound)
	split := make(chan error, 1)
	go func() { split <- runStage(sound, stage, broken, stopMoving) }()
	sources, err := f.readInto(moving, stage.In, c)
	if err != nil {
		broken(err)
	}
	f.takeDigest()
	close(hashed)
	stage.In.Close() // a pipe of ours
	<-split
	all.Wait()
	f.sayDuplicated(stage)
	return f.end(ctx, f.closeSources(sources, c, err))
}

// stage opens the Fanout between the source and the targets.
func (f *fanout) stage(branches int, tr conf.Transfer, dropSlow time.Duration) (*transfer.Fanout, error) {
	stage, err := transfer.NewFanout(branches, tr.BufferSize, tr.NoSplice)
	if err != nil {
		return nil, &exit.Failure{Err: fmt.Errorf("a pipe for each target: %w", exit.Cause(err))}
	}
	stage.DropSlow = dropSlow
	stage.Dropped = func(i int) {
		t := f.targets[i]
		t.drop(&exit.Failure{Status: exit.Incomplete,
			Err: fmt.Errorf("%s: alone held up all others for %s (--drop-slow), after %s", t.label, text.Duration(dropSlow), t.soFar())})
	}
	switch size := stage.PipeSize(); {
	case tr.NoSplice:
		sayPlan(f.out, "", "to each target through memory, as --no-splice asks for")
	case size == 0:
		sayPlan(f.out, "", "to each target through memory: no pipe was available for each")
	default:
		sayPlan(f.out, "", "to each target by tee, through a pipe of "+text.Size(int64(size)))
	}
	return stage, nil
}

// runStage moves bytes from the stage to its branches. It ends these only if everything went well, or
// after it has ended the deliveries: an end of the stream is the truth.
func runStage(ctx context.Context, stage *transfer.Fanout, broken, stopMoving context.CancelCauseFunc) error {
	err := stage.Run(ctx)
	switch {
	case errors.Is(err, transfer.ErrNoBranch):
		stopMoving(err)
	case err != nil:
		broken(err)
	}
	stage.Close()
	return err
}

// readInto moves all sources into the stage. The error is nil where all targets were lost: they say why.
func (f *fanout) readInto(ctx context.Context, in *transfer.Endpoint, c *conf.Send) (sources []*transfer.Endpoint, err error) {
	err = f.moveAll(ctx, in, fileNames(c.Sources), files.Idle, func(_ files.Name, e *transfer.Endpoint, err error) error {
		if e != nil {
			sources = append(sources, e)
		}
		return err
	})
	if err == nil {
		err = f.complete(f.from)
	}
	side, ok := errors.AsType[*transfer.Error](err)
	if errors.Is(err, transfer.ErrNoBranch) || ok && side.Side == transfer.Destination && side.Err == unix.EPIPE {
		return sources, nil
	}
	return sources, err
}

// closeSources closes what was read, when no target reads its pages any more. It returns what was wrong with
// the sources, in words.
func (f *fanout) closeSources(sources []*transfer.Endpoint, c *conf.Send, err error) error {
	if err != nil {
		err = f.failure(err)
	}
	for i, e := range sources {
		changed := sourceChanged(f.out, e, c.Sources[i].String())
		e.Close()
		if err == nil {
			err = changed
		}
	}
	return err
}

// sayDuplicated explains how each target got its bytes.
func (f *fanout) sayDuplicated(stage *transfer.Fanout) {
	if n := stage.Calls.Load(); n > 0 {
		f.out.Explain("ran", "%s duplicated by reference in %s calls of tee", text.Size(stage.Duplicated.Load()), text.Grouped(n))
	}
	if n := stage.Copied.Load(); n > 0 {
		f.out.Explain("ran", "%s copied through memory for the targets", text.Size(n))
	}
	if err := stage.Refusal.Load(); err != nil {
		f.out.Explain("ran", "tee refused: %v", *err)
	}
}
