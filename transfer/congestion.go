package transfer

import (
	"net/netip"
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
	if host := DefaultCongestion(); !c.asked && algorithm == UnpacedCongestion && Paces(host) {
		replaced = host
	}
	return algorithm, replaced
}

// SetCongestion chooses the congestion control of a TCP connection; others have none. The error is that
// of setsockopt(2).
func (c *Conn) SetCongestion(algorithm string) error {
	if c.kind != TCP {
		return nil
	}
	c.asked = true
	return sock.SetCongestion(c.fd, algorithm)
}

// control is the function control for a connection that stands.
func (c *Conn) control(algorithm string) error {
	if c.kind != TCP {
		return nil
	}
	c.asked = algorithm != ""
	peer, _ := unix.Getpeername(c.fd) // nil: it is reset already
	return control(c.fd, algorithm, sock.Addr(peer))
}

// control applies the congestion control that was asked for to a TCP socket, or sees to it that a peer
// on this host is not paced. A socket that is dialled gets it before connect(2): where bbr has begun once, the kernel
// goes on to pace whatever follows it (sk_pacing_status), which costs nc as a receiver a quarter of the speed and the
// sender half of its processor time.
func control(fd int, algorithm string, peer netip.Addr) error {
	if algorithm != "" {
		return sock.SetCongestion(fd, algorithm)
	}
	sock.Unpace(fd, peer)
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
