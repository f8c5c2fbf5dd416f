package sock

import (
	"net/netip"
	"os"

	"golang.org/x/sys/unix"
)

// BindTransparent binds a new socket to an address that need not be this host's. connect(2) chooses the port.
func BindTransparent(fd int, from netip.Addr) error {
	level, option := unix.SOL_IP, unix.IP_TRANSPARENT
	if from.Is6() {
		level, option = unix.SOL_IPV6, unix.IPV6_TRANSPARENT
	}
	if err := unix.SetsockoptInt(fd, level, option, 1); err != nil {
		return os.NewSyscallError("setsockopt", err)
	}
	BindNoPort(fd)
	return os.NewSyscallError("bind", unix.Bind(fd, Sockaddr(netip.AddrPortFrom(from, 0))))
}
