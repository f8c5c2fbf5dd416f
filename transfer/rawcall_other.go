//go:build !linux

package transfer

import (
	"net/netip"

	"golang.org/x/sys/unix"
)

func rawSplice(int, int, int64) (int64, error) { return 0, unix.ENOSYS }

func rawRead(fd int, b []byte) (int, error) {
	return ignoringEINTRn(func() (int, error) { return unix.Read(fd, b) })
}

func rawWrite(fd int, b []byte) (int, error) {
	return ignoringEINTRn(func() (int, error) { return unix.Write(fd, b) })
}

func rawClose(fd int)          { unix.Close(fd) }
func rawShutdown(fd int) error { return unix.Shutdown(fd, unix.SHUT_WR) }

func rawConnect(fd int, to netip.AddrPort) error { return unix.Connect(fd, sockaddrOf(to)) }

func localAddr(fd int) netip.AddrPort {
	sa, err := unix.Getsockname(fd)
	if err != nil {
		return netip.AddrPort{}
	}
	a, _ := netip.ParseAddrPort(sockaddrString(sa)) // the zero AddrPort where it is a Unix socket
	return a
}

func accept(fd int) (c int, peer netip.AddrPort, err error) {
	c, sa, err := unix.Accept(fd)
	if err != nil {
		return -1, peer, err
	}
	peer, _ = netip.ParseAddrPort(sockaddrString(sa)) // the zero AddrPort where it is a Unix socket
	return c, peer, ours(c)
}

func streamSocket(family int) (int, error) {
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
