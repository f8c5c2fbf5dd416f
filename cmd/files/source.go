package files

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/zcp-go/zcp/cmd/exit"
	"github.com/zcp-go/zcp/transfer"
)

// OpenSource opens a source. An inherited descriptor stays the process's; a path may take
// its time (a FIFO waits for its writer): meanwhile runs until that is over. An error of the
// open is a *exit.Failure, one of meanwhile or of ctx is returned as it is.
func OpenSource(ctx context.Context, name Name, meanwhile Meanwhile) (e *transfer.Endpoint, err error) {
	if name.Path == "" {
		e, err = name.inherit()
	} else {
		var fd int
		if fd, err = openWaiting(ctx, name.Path, unix.O_RDONLY, meanwhile); err == nil {
			e, err = transfer.Own(fd)
		}
	}
	if err == unix.EISDIR {
		return nil, name.isDirectory()
	}
	if err != nil && ctx.Err() == nil && !ofTransfer(err) {
		err = name.problem(err)
	}
	return e, err
}

// ofTransfer tells an error that came while a file was opened from one of the open: it
// concerns the transfer, and is not that file's.
func ofTransfer(err error) bool {
	_, ok := errors.AsType[*transfer.Error](err)
	return ok || errors.Is(err, transfer.ErrIdle)
}

// TotalSize returns how many bytes the sources hold together, -1 where that is not known
// before they are read. A file that does not exist is reported when its turn comes.
func TotalSize(names []Name) int64 {
	var total int64
	for _, name := range names {
		n := name.size()
		if n < 0 {
			return -1
		}
		total += n
	}
	return total
}

func (n Name) size() int64 {
	if n.Path == "" {
		if Inherited(n.FD) != nil {
			return -1
		}
		return descriptorSize(n.FD)
	}
	if fi, err := os.Stat(n.Path); err != nil || !fi.Mode().IsRegular() {
		return -1
	}
	fd, err := unix.Open(n.Path, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
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

// CheckReadable finds out, before anything is connected, that every file is there and may
// be read.
func CheckReadable(names []Name) error {
	for _, name := range names {
		if name.Path == "" {
			if err := Inherited(name.FD); err != nil {
				return name.problem(err)
			}
			continue
		}
		fi, err := os.Stat(name.Path)
		switch {
		case err != nil:
		case fi.IsDir():
			return name.isDirectory()
		default:
			err = unix.Faccessat(unix.AT_FDCWD, name.Path, unix.R_OK, unix.AT_EACCESS)
		}
		if err != nil {
			return name.problem(err)
		}
	}
	return nil
}

// isDirectory refuses a directory where a file is read, and says how it is sent.
func (n Name) isDirectory() error {
	f := &exit.Failure{Err: fmt.Errorf("%s: %w", n, unix.EISDIR)}
	if n.Path != "" {
		f.Hint = "its contents, as a tar stream, are " + strings.TrimRight(n.String(), "/") + "/"
	}
	return f
}

// CheckTree finds out that what is sent as a tree is there, and that a directory is one.
func CheckTree(names []Name) error {
	for _, name := range names {
		if _, err := os.Stat(name.Path); err != nil {
			return name.problem(err)
		}
	}
	return nil
}

// RefuseSame refuses to read and write one file at once: it would never end, or eat itself.
func RefuseSame(src, dst *transfer.Endpoint, name Name) error {
	if src.SameFile(dst) {
		return fmt.Errorf("%s: input file is output file", name)
	}
	return nil
}
