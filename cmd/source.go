package cmd

import (
	"context"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/zcp-go/zcp/transfer"
)

// openSource opens what an operand names. A descriptor we were born with stays the
// process's; a path may take its time (a FIFO waits for its writer).
func openSource(ctx context.Context, op Operand, meanwhile attend) (*transfer.Endpoint, error) {
	var e *transfer.Endpoint
	var err error
	switch op.Kind {
	case FD:
		e, err = inherit(op)
	default:
		path := op.Path
		if op.Kind == Zero {
			path = "/dev/zero"
		}
		var fd int
		if fd, err = openWaiting(ctx, path, unix.O_RDONLY, meanwhile); err == nil {
			e, err = transfer.Own(fd)
		}
	}
	if err != nil {
		if ctx.Err() != nil || ofTransfer(err) {
			return nil, err
		}
		return nil, fmt.Errorf("%s: %w", op, plain(err))
	}
	return e, nil
}

// ofTransfer tells an error that came while a file was opened from one of the open: it
// concerns the transfer, and is not that file's.
func ofTransfer(err error) bool {
	var side *transfer.Error
	return errors.Is(err, transfer.ErrIdle) || errors.As(err, &side)
}

// sourceSize tells how many bytes the operands hold together, -1 where one of them
// cannot tell before it is read. A file that does not exist is told when its turn comes.
func sourceSize(ops []Operand) int64 {
	var total int64
	for _, op := range ops {
		n := int64(-1)
		switch op.Kind {
		case FD:
			if fd, err := inherited(op); err == nil {
				n = descriptorSize(fd)
			}
		case File:
			if fi, err := os.Stat(op.Path); err == nil && fi.Mode().IsRegular() {
				n = pathSize(op.Path)
			}
		}
		if n < 0 {
			return -1
		}
		total += n
	}
	return total
}

// pathSize asks a regular file, by a descriptor of its own, how much it will give.
func pathSize(path string) int64 {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1
	}
	defer unix.Close(fd)
	return descriptorSize(fd)
}

func descriptorSize(fd int) int64 {
	e, err := transfer.NewEndpoint(fd)
	if err != nil {
		return -1
	}
	return e.Size()
}

// checkSources finds out, before anybody is connected to, that every file is there and
// may be read.
func checkSources(ops []Operand) error {
	for _, op := range ops {
		if op.Kind != File {
			continue
		}
		fi, err := os.Stat(op.Path)
		switch {
		case err != nil:
		case fi.IsDir():
			err = unix.EISDIR
		default:
			err = unix.Faccessat(unix.AT_FDCWD, op.Path, unix.R_OK, unix.AT_EACCESS)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", op, plain(err))
		}
	}
	return nil
}

// refuseSame refuses to read and write one file at once: it would never end, or eat itself.
func refuseSame(src, dst *transfer.Endpoint, op Operand) error {
	if src.SameFile(dst) {
		return fmt.Errorf("%s: input file is output file", op)
	}
	return nil
}
