package cmd

import (
	"context"
	"fmt"
	"io"
	"slices"

	"github.com/zcp-go/zcp/cmd/conf"
	"github.com/zcp-go/zcp/cmd/exit"
	"github.com/zcp-go/zcp/cmd/files"
	"github.com/zcp-go/zcp/cmd/show"
	"github.com/zcp-go/zcp/cmd/text"
	"github.com/zcp-go/zcp/transfer"
)

// moveAll moves sources in turn. then gets the outcome of each, with its endpoint unless it was
// not opened, and returns the error that ends the sequence.
func (j *job) moveAll(ctx context.Context, dst *transfer.Endpoint, sources []files.Name, meanwhile files.Meanwhile,
	then func(files.Name, *transfer.Endpoint, error) error) error {
	for _, name := range sources {
		if j.left() == 0 {
			break // what is not wanted is not opened: a FIFO would wait for its writer
		}
		e, err := j.moveOne(ctx, dst, name, meanwhile)
		if err := then(name, e, err); err != nil {
			return err
		}
	}
	return nil
}

func (j *job) moveOne(ctx context.Context, dst *transfer.Endpoint, name files.Name, meanwhile files.Meanwhile) (*transfer.Endpoint, error) {
	j.d.opening.Store(true)
	e, err := files.OpenSource(ctx, name, meanwhile)
	j.d.opening.Store(false)
	if err != nil {
		return nil, err
	}
	if err := files.RefuseSame(e, dst, name); err != nil {
		return e, err
	}
	if err := j.skip(ctx, e, name); err != nil {
		return e, err
	}
	size, limit := e.Size(), j.left()
	n, err := j.d.t.Move(ctx, dst, e, limit)
	if err == nil && e.Kind() == transfer.File && n < size && (limit < 0 || n < limit) {
		err = &exit.Failure{Status: exit.Changed, Err: fmt.Errorf("%s: became shorter while it was being sent: %s of %s", name, text.Size(n), text.Size(size))}
	}
	return e, err
}

// skip leaves out the beginning of a source: by its offset where it has one, by reading it away where not.
func (j *job) skip(ctx context.Context, e *transfer.Endpoint, name files.Name) error {
	n := j.length.Skip
	if n == 0 {
		return nil
	}
	has := e.Size()
	if e.Kind() != transfer.File && e.Kind() != transfer.Block {
		var err error
		if has, err = j.readAway(ctx, e, n); err != nil {
			return err
		}
	} else if has < 0 || has >= n {
		if err := e.Skip(n); err != nil {
			return &transfer.Error{Op: "lseek", Side: transfer.Source, Err: err}
		}
		return nil
	}
	if has < n {
		return &exit.Failure{Status: exit.Incomplete, Err: fmt.Errorf("%s: holds %s, which is less than --skip %s", name, text.Bytes(has), text.Bytes(n))}
	}
	return nil
}

// readAway reads n bytes of a source, or what it has.
func (j *job) readAway(ctx context.Context, e *transfer.Endpoint, n int64) (has int64, err error) {
	b := make([]byte, min(n, 256<<10))
	for has < n {
		m, err := j.d.t.Read(ctx, e, b[:min(n-has, int64(len(b)))])
		has += int64(m)
		if err != nil || m == 0 {
			return has, err
		}
	}
	return has, nil
}

// rest is what is left of a size behind what is skipped.
func rest(size, skip int64) int64 {
	if size < 0 {
		return size
	}
	return max(0, size-skip)
}

// sourceChanged turns what became of a source into words, and into exit status 6 where the
// bytes that were sent may be a mixture.
func sourceChanged(out *show.Printer, e *transfer.Endpoint, name string) error {
	switch e.Verify() {
	case transfer.Changed:
		return &exit.Failure{Status: exit.Changed, Err: fmt.Errorf("%s: changed while it was being sent: what arrived may be a mixture", name),
			Hint: "send a snapshot, or replace files by renaming new ones over them"}
	case transfer.Grew:
		out.Say("%s has grown while it was being sent: what was sent is what it held at the start", name)
	case transfer.MetadataChanged:
		out.Detail("%s: its mode, owner or links changed while it was being sent, its contents did not", name)
	}
	return nil
}

// ofSources is where remarks on the sources go. Of several targets one makes them.
func (j *job) ofSources() *show.Printer {
	if j.twin {
		return &show.Printer{W: io.Discard}
	}
	return j.out
}

// isShared tells whether a source is a descriptor that the process was born with.
func isShared(sources []conf.Operand) bool {
	return slices.ContainsFunc(sources, func(op conf.Operand) bool { return op.Kind == conf.FD })
}
