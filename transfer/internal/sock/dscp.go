package sock

import (
	"os"

	"golang.org/x/sys/unix"
)

// SetDSCP sets the traffic class of what a TCP socket sends: the upper six bits of IP_TOS (ip(7)) and of
// IPV6_TCLASS (ipv6(7)). Connections that a listening socket accepts inherit it. A socket of IPv6
// sends its IPv4 packets with IP_TOS.
func SetDSCP(fd, dscp int) error {
	sa, err := unix.Getsockname(fd)
	if err != nil {
		return os.NewSyscallError("getsockname", err)
	}
	err4 := unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_TOS, dscp<<2)
	if _, is6 := sa.(*unix.SockaddrInet6); is6 {
		return os.NewSyscallError("setsockopt", unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_TCLASS, dscp<<2))
	}
	return os.NewSyscallError("setsockopt", err4)
}
