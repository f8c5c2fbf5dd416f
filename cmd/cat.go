package cmd

import (
	"context"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/zcp-go/zcp/transfer"
)

// runCat moves sources to stdout, one after another, like cat, and shows it, like pv. A
// source that cannot be read is told and passed over.
func runCat(ctx context.Context, out *Printer, c *CatConfig) error {
	s := newSession(out, c.Display, c.Transfer, c.Length, 0)
	s.from, s.to = sourceNames(c.Sources), c.Dest.String()
	s.toStdout = isStdout(c.Dest)
	if s.total < 0 {
		s.total = sourceSize(c.Sources)
	}
	s.watch(c.Dest.onTerminal())
	plan, err := planDest(c.Dest, c.Output, true)
	if err != nil {
		return s.refused(err)
	}
	if err := refuseOverwrite(plan, c); err != nil {
		return s.refused(err)
	}
	s.phase.Store(int32(Opening))
	d, err := plan.open(ctx, idly)
	if err != nil {
		return s.refused(err)
	}
	s.begin()
	defer s.stop(false)
	failed, err := s.catAll(ctx, d, c)
	if err == nil && failed == nil {
		err = s.complete(s.from)
	}
	if err != nil {
		err = s.endFailed(err)
		d.abandon()
		return err
	}
	if err := d.commit(); err != nil {
		return s.endFailed(&transfer.Error{Side: transfer.Destination, Err: err})
	}
	s.stop(failed == nil)
	to := ForVerbose
	if c.Force || s.progress.mode == showLine {
		to = ForMost
	}
	s.end("copied", "", "", to, failed)
	return failed
}

// catAll moves every source. failed is the first error that concerned one source
// alone, and was told; err ends the command.
func (s *session) catAll(ctx context.Context, d *dest, c *CatConfig) (failed, err error) {
	if c.Dest.Kind == File && !c.Append {
		if err := truncate(d.end, c); err != nil {
			return nil, err
		}
	}
	for _, op := range c.Sources {
		if s.left() == 0 {
			break // what is not wanted is not opened: a FIFO would wait for its writer
		}
		err := s.catOne(ctx, d.end, op)
		var side *transfer.Error
		switch {
		case err == nil:
			continue
		case ctx.Err() != nil, errors.As(err, &side) && side.Side == transfer.Destination, errors.Is(err, transfer.ErrIdle):
			return failed, err
		case errors.As(err, &side):
			err = &Failure{Err: fmt.Errorf("%s: %w", op, plain(side.Err))}
		}
		if failed == nil {
			failed = &told{err}
		}
		s.out.Error(err)
	}
	return failed, nil
}

func (s *session) catOne(ctx context.Context, dst *transfer.Endpoint, op Operand) error {
	e, err := s.open(ctx, op, idly)
	if err != nil {
		return err
	}
	defer e.Close()
	if err := refuseSame(e, dst, op); err != nil {
		return err
	}
	size, limit := e.Size(), s.left()
	n, err := s.t.Move(ctx, dst, e, limit)
	if err != nil {
		return err
	}
	if e.Kind() == transfer.File {
		err = shrunk(size, n, limit, op.String())
	}
	if changed := sourceChanged(s.out, e, op.String()); err == nil {
		err = changed
	}
	return err
}

// refuseOverwrite refuses `cat f -o f` before -o truncates f.
func refuseOverwrite(plan *destPlan, c *CatConfig) error {
	if plan.old == nil || !plan.old.Mode().IsRegular() {
		return nil
	}
	for _, op := range c.Sources {
		path := op.Path
		if op.Kind == FD {
			path = fmt.Sprintf("/dev/fd/%d", op.FD)
		}
		// A source that is not there is told when its turn comes.
		if fi, err := os.Stat(path); err == nil && os.SameFile(fi, plan.old) {
			return fmt.Errorf("%s: input file is output file", op)
		}
	}
	return nil
}

// truncate empties the file of -o once nothing speaks against writing it. One that is empty
// is left alone: after a truncation to nothing ext4 has close(2) wait until all that came
// after it is on its way to the disk (auto_da_alloc in ext4(5); 0.8 s for 2 GiB).
func truncate(e *transfer.Endpoint, c *CatConfig) error {
	if e.FileSize() == 0 {
		return nil
	}
	if err := unix.Ftruncate(e.FD(), 0); err != nil {
		return fmt.Errorf("%s: %w", c.Dest, err)
	}
	return nil
}

// told is an error that was shown when it happened; it only counts for the exit status.
type told struct{ error }

func (t *told) Unwrap() error { return t.error }

// Told tells whether err was shown already.
func Told(err error) bool {
	_, ok := errors.AsType[*told](err)
	return ok
}
