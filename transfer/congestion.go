package transfer

import (
	"os"

	"golang.org/x/sys/unix"

	"github.com/zcp-go/zcp/transfer/internal/sock"
)

// Congestion returns the congestion control of a TCP connection and, where zcp replaced the host's
// because the peer is on this host, the one that it replaced. Both are "" where they are not known.
func (c *Conn) Congestion() (algorithm, replaced string) {
	if c.kind != TCP {
		return "", ""
	}
	algorithm, err := sock.Congestion(c.fd)
	if err != nil {
		return "", "" // the connection is gone, or the system has no TCP_CONGESTION
	}
	return algorithm, c.replaced
}

// SetCongestion chooses the congestion control of a TCP connection; others have none. The error is that
// of setsockopt(2).
func (c *Conn) SetCongestion(algorithm string) error {
	if c.kind != TCP {
		return nil
	}
	c.replaced = ""
	return sock.SetCongestion(c.fd, algorithm)
}

// control applies the congestion control that was asked for, or sees to it that a
// peer on this host is not paced.
func (c *Conn) control(algorithm string) error {
	if c.kind != TCP {
		return nil
	}
	if algorithm != "" {
		return c.SetCongestion(algorithm)
	}
	if sa, err := unix.Getpeername(c.fd); err == nil { // else it is reset already
		c.replaced = sock.Unpace(c.fd, sock.Addr(sa))
	}
	return nil
}

// CheckCongestion tells whether this process may choose a congestion control: ENOENT if the kernel
// does not have it, EPERM if it may not, ENOTSUP where the system has no choice.
func CheckCongestion(algorithm string) error {
	return withSocket(func(fd int) error { return sock.SetCongestion(fd, algorithm) })
}

// DefaultCongestion returns the host's congestion control, "" where it is not known.
func DefaultCongestion() (algorithm string) {
	_ = withSocket(func(fd int) (err error) { // the caller does without
		algorithm, err = sock.Congestion(fd)
		return err
	})
	return algorithm
}

// withSocket runs f on a TCP socket that is not connected, of IPv6 where there is no IPv4.
func withSocket(f func(fd int) error) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
	if err == unix.EAFNOSUPPORT {
		fd, err = unix.Socket(unix.AF_INET6, unix.SOCK_STREAM, 0)
	}
	if err != nil {
		return os.NewSyscallError("socket", err)
	}
	defer unix.Close(fd)
	return f(fd)
}

// Algorithms returns the congestion controls that the kernel has loaded, or those of them that
// every user may choose; nil where that is not known.
func Algorithms(allowed bool) []string { return sock.Algorithms(allowed) }

// Paces tells whether a congestion control sends by a timer.
func Paces(algorithm string) bool { return sock.Paces(algorithm) }

// UnpacedCongestion is what a peer on this host gets where the host's default paces.
const UnpacedCongestion = sock.Unpaced
