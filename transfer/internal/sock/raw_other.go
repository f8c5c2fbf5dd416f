//go:build !linux

package sock

import (
	"net/netip"

	"golang.org/x/sys/unix"
)

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
