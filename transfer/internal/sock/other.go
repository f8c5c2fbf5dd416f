//go:build !linux

package sock

import (
	"errors"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"
)

// NewPipe opens a pipe that does not block and closes on exec.
func NewPipe(p *[2]int) error {
	if err := unix.Pipe(p[:]); err != nil {
		return err
	}
	return errors.Join(ours(p[0]), ours(p[1]))
}

// PollFor is poll(2), to the millisecond; below 0 it waits for as long as it takes.
func PollFor(fds []unix.PollFd, d time.Duration) (int, error) {
	if d < 0 {
		return unix.Poll(fds, -1)
	}
	return unix.Poll(fds, int((d+time.Millisecond-1)/time.Millisecond))
}

// A Silence cannot tell a dead peer on this system.
type Silence struct{}

// Gone is never true.
func (Silence) Gone(int, time.Time) bool { return false }

// Unacked is not known on this system.
func Unacked(int) (int64, error) { return 0, nil }

// GetLinger is not asked on this system.
func GetLinger(int) (unix.Linger, error) { return unix.Linger{}, nil }

// Disconnect leaves the connection to its other holders.
func Disconnect(int) {}

// SetKeepAlive has the kernel ask a silent peer whether it lives.
func SetKeepAlive(fd int) { _ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1) }

// BindNoPort has no meaning on this system.
func BindNoPort(int) {}

// EphemeralMin returns the lowest port that the kernel gives to sockets that connect.
func EphemeralMin() uint16 { return 1024 }

// Park does not know how to wait without a thread on this system.
func Park([]unix.PollFd, time.Duration) error { return unix.ENOSYS }

// DropIncoming has no meaning on this system.
func DropIncoming(int, bool) {}

// BindTransparent is refused on this system.
func BindTransparent(int, netip.Addr) error { return unix.ENOTSUP }

func familyName(unix.Sockaddr) string { return "" }

// Close closes a descriptor of ours.
func Close(fd int) { unix.Close(fd) }

// ShutdownWrite ends the direction towards the peer.
func ShutdownWrite(fd int) error { return unix.Shutdown(fd, unix.SHUT_WR) }

// Connect begins to connect a TCP socket.
func Connect(fd int, to netip.AddrPort) error { return unix.Connect(fd, Sockaddr(to)) }

// LocalAddr returns the address of a TCP socket.
func LocalAddr(fd int) netip.AddrPort {
	sa, err := unix.Getsockname(fd)
	if err != nil {
		return netip.AddrPort{}
	}
	a, _ := netip.ParseAddrPort(Text(sa)) // the zero AddrPort where it is a Unix socket
	return a
}

// Accept takes a connection from a listening socket that does not block.
func Accept(fd int) (c int, peer netip.AddrPort, err error) {
	c, sa, err := unix.Accept(fd)
	if err != nil {
		return -1, peer, err
	}
	peer, _ = netip.ParseAddrPort(Text(sa)) // the zero AddrPort where it is a Unix socket
	return c, peer, ours(c)
}

// Stream opens a socket that does not block and closes on exec.
func Stream(family int) (int, error) {
	fd, err := unix.Socket(family, unix.SOCK_STREAM, 0)
	if err != nil {
		return -1, err
	}
	return fd, ours(fd)
}

// ours makes a new descriptor close on exec and not block, or closes it.
func ours(fd int) error {
	unix.CloseOnExec(fd)
	err := unix.SetNonblock(fd, true)
	if err != nil {
		unix.Close(fd)
	}
	return err
}
