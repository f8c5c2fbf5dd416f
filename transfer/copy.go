package transfer

import (
	"context"
	"syscall"
)

// Copy copies from src to dst until src ends and returns how many bytes were
// delivered. It is io.Copy for *os.File, *net.TCPConn and *net.UnixConn on the best path
// the kernel has for the pair, with a context instead of deadlines, which are not looked at.
// It never closes or shuts down either end. A Close meanwhile waits until Copy
// returns, so a Copy is ended by its context and not by Close.
func Copy(ctx context.Context, dst, src syscall.Conn) (int64, error) {
	return new(Transfer).Copy(ctx, dst, src)
}

// CopyN copies n bytes, or fewer where src ends before, as io.Copy of an
// io.LimitedReader does: fewer is not an error.
func CopyN(ctx context.Context, dst, src syscall.Conn, n int64) (int64, error) {
	return new(Transfer).CopyN(ctx, dst, src, n)
}

// Copy is like the function Copy, with t's options and counts.
func (t *Transfer) Copy(ctx context.Context, dst, src syscall.Conn) (int64, error) {
	return t.CopyN(ctx, dst, src, -1)
}

// CopyN is like the function CopyN, with t's options and counts; a negative n means all.
func (t *Transfer) CopyN(ctx context.Context, dst, src syscall.Conn, n int64) (int64, error) {
	var copied int64
	err := withFD(dst, func(d int) error {
		return withFD(src, func(s int) error {
			de, err := NewEndpoint(d)
			if err != nil {
				return &Error{"fstat", Destination, err}
			}
			se, err := NewEndpoint(s)
			if err != nil {
				return &Error{"fstat", Source, err}
			}
			defer se.Verify()
			copied, err = t.Move(ctx, de, se, n)
			return err
		})
	})
	return copied, err
}

// withFD runs f with c's descriptor, which stays open for as long as f runs even if
// c is closed meanwhile.
func withFD(c syscall.Conn, f func(fd int) error) error {
	rc, err := c.SyscallConn()
	if err != nil {
		return err
	}
	cerr := rc.Control(func(fd uintptr) { err = f(int(fd)) })
	if cerr != nil {
		return cerr
	}
	return err
}
