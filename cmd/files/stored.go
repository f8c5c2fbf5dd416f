package files

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/zcp-go/zcp/cmd/exit"
	"github.com/zcp-go/zcp/transfer"
)

// storedStep is how much is written out or read back between two looks at the context.
const storedStep = 8 << 20

// Readable tells whether what is written can be read back: DST is a regular file that was opened for
// reading as well.
func (o *Output) Readable() bool {
	fl, err := unix.FcntlInt(uintptr(o.End.FD()), unix.F_GETFL, 0)
	return err == nil && fl&unix.O_ACCMODE == unix.O_RDWR && isRegular(o.End.FD())
}

// At returns where in a regular file the next byte is written.
func (o *Output) At() int64 {
	fd := o.End.FD()
	if fl, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0); err == nil && fl&unix.O_APPEND != 0 {
		return o.End.FileSize()
	}
	at, err := unix.Seek(fd, 0, unix.SEEK_CUR)
	if err != nil {
		return 0 // not of a regular file
	}
	return at
}

// ReadStored has the n bytes from at on written to the device, drops them from memory, and gives
// to what the device gives back. done counts the bytes written, and then those read: in the end 2n.
// A file system without a device (tmpfs) gives back what it has. The error is that of
// sync_file_range(2), fsync(2) or pread(2), or the context's cause.
func (o *Output) ReadStored(ctx context.Context, at, n int64, to io.Writer, done *atomic.Int64) error {
	fd := o.End.FD()
	for from := at; from < at+n; {
		step := min(at+n-from, storedStep)
		if err := writeThrough(fd, from, step); err != nil {
			return os.NewSyscallError("sync_file_range", err)
		}
		from += step
		done.Add(step)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
	}
	if err := again(func() error { return unix.Fsync(fd) }); err != nil && err != unix.EINVAL && err != unix.EROFS {
		return os.NewSyscallError("fsync", err)
	}
	if err := dropPages(fd); err != nil {
		o.note("%s: its pages stay in memory: %v", o.plan.name, err)
	}
	return o.readBack(ctx, at, n, to, done)
}

func (o *Output) readBack(ctx context.Context, at, n int64, to io.Writer, done *atomic.Int64) error {
	b := make([]byte, min(n, 1<<20))
	for end := at + n; at < end; {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		m, err := o.ReadAt(b[:min(end-at, int64(len(b)))], at)
		if err == io.EOF {
			return errors.New("became shorter while it was being read back")
		}
		if err != nil {
			return err
		}
		if _, err := to.Write(b[:m]); err != nil {
			return err
		}
		at += int64(m)
		done.Add(int64(m))
	}
	return nil
}

// Follows tells whether what is written can be read while it is: a regular file that has, or gets, a name.
func (p *Plan) Follows() error {
	if p.name.Path == "" || p.old != nil && !p.old.Mode().IsRegular() {
		return &exit.Usage{Text: p.name.String() + ": only a regular file can be passed on while it is received"}
	}
	return nil
}

// Reader opens an Output once more, for reading from where its next byte is written. It stays readable when
// the Output has got its name.
func (o *Output) Reader() (*transfer.Endpoint, error) {
	path := o.part
	if path == "" {
		path = o.plan.real
	}
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, o.plan.name.problem(err)
	}
	e, err := transfer.Own(fd)
	if err != nil {
		return nil, o.plan.name.problem(err)
	}
	at := int64(0)
	if o.plan.options.Append {
		at = o.End.FileSize()
	}
	if _, err = unix.Seek(fd, at, unix.SEEK_SET); err == nil && !e.SameFile(o.End) {
		err = fmt.Errorf("another file has taken its place")
	}
	if err != nil {
		e.Close()
		return nil, o.plan.name.problem(err)
	}
	return e, nil
}
