package cmd

import (
	"context"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"

	"github.com/zcp-go/zcp/transfer"
)

// openWaiting opens a path, which may take for ever (a FIFO without its other side, a
// file whose lease somebody holds), until ctx ends. meanwhile is run for as long as that
// takes, and ends it by an error; it returns when its context ends.
func openWaiting(ctx context.Context, path string, flags int, meanwhile attend) (int, error) {
	if fd, done, err := openAtOnce(path, flags); done {
		return fd, err
	}
	waiting, end := context.WithCancel(ctx)
	defer end()
	result := make(chan opened, 1)
	go openSlowly(path, flags, result, end)
	err := meanwhile(waiting)
	select {
	case o := <-result:
		return o.fd, o.err
	default:
	}
	go closeLate(result)
	if err == nil {
		err = context.Cause(ctx)
	}
	return -1, err
}

// An attend is what is done while somebody waits, until ctx ends.
type attend func(ctx context.Context) error

// idly does nothing.
func idly(ctx context.Context) error {
	<-ctx.Done()
	return nil
}

type opened struct {
	fd  int
	err error
}

func openSlowly(path string, flags int, result chan<- opened, end func()) {
	fd, err := open(path, flags|unix.O_NOCTTY, 0o666)
	result <- opened{fd, err}
	end()
}

// closeLate closes what is opened when nobody wants it any more.
func closeLate(result <-chan opened) {
	if o := <-result; o.err == nil {
		unix.Close(o.fd)
	}
}

// openAtOnce opens what does not make anybody wait, without a thread for the wait. done is
// false for a FIFO, whose other side open(2) waits for, and where O_NONBLOCK says that it
// would have waited: a file with a lease on it.
func openAtOnce(path string, flags int) (fd int, done bool, err error) {
	fi, err := os.Stat(path)
	if err == nil && fi.Mode()&fs.ModeNamedPipe != 0 {
		return -1, false, nil
	}
	fd, err = unix.Open(path, flags|unix.O_CLOEXEC|unix.O_NOCTTY|unix.O_NONBLOCK, 0o666)
	switch err {
	case nil:
	case unix.EAGAIN, unix.ENXIO, unix.EINTR:
		return -1, false, nil
	default:
		return -1, true, err
	}
	var st unix.Stat_t
	if unix.Fstat(fd, &st) == nil && st.Mode&unix.S_IFMT == unix.S_IFIFO { // it took the file's place just now
		unix.Close(fd)
		return -1, false, nil
	}
	return fd, true, nil
}

func open(path string, flags int, mode uint32) (fd int, err error) {
	err = again(func() error {
		fd, err = unix.Open(path, flags|unix.O_CLOEXEC, mode)
		return err
	})
	return fd, err
}

// again repeats a call that a signal has interrupted.
func again(call func() error) error {
	for {
		if err := call(); err != unix.EINTR {
			return err
		}
	}
}

// inherited returns the descriptor of fd:N if the process was born with it. What came
// through execve(2) is not close-on-exec, and all that this process opens is: a number
// that nobody passed may be one of the runtime's own.
func inherited(op Operand) (int, error) {
	flags, err := unix.FcntlInt(uintptr(op.FD), unix.F_GETFD, 0)
	if err == nil && flags&unix.FD_CLOEXEC != 0 {
		err = unix.EBADF
	}
	return op.FD, err
}

// inherit returns the end that fd:N names.
func inherit(op Operand) (*transfer.Endpoint, error) {
	fd, err := inherited(op)
	if err != nil {
		return nil, err
	}
	return transfer.Inherit(fd)
}
