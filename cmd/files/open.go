package files

import (
	"context"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// openWaiting opens a path, which may take for ever (a FIFO without its other side, a
// file on which another process holds a lease), until ctx ends. meanwhile is run for as long as that
// takes, and ends it by an error; it returns when its context ends.
func openWaiting(ctx context.Context, path string, flags int, meanwhile Meanwhile) (int, error) {
	if fd, done, err := openAtOnce(path, flags); done {
		return fd, err
	}
	waiting, end := context.WithCancel(ctx)
	defer end()
	result := make(chan opened, 1)
	go func() {
		defer end()
		fd, err := open(path, flags|unix.O_NOCTTY, 0o666)
		result <- opened{fd, err}
	}()
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

// A Meanwhile is what is done while an open(2) waits, until ctx ends.
type Meanwhile func(ctx context.Context) error

// Idle does nothing.
func Idle(ctx context.Context) error {
	<-ctx.Done()
	return nil
}

type opened struct {
	fd  int
	err error
}

// closeLate closes what is opened after the caller has given up.
func closeLate(result <-chan opened) {
	if o := <-result; o.err == nil {
		unix.Close(o.fd)
	}
}

// openAtOnce opens what does not wait, without a thread for the wait. done is
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
