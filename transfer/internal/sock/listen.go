package sock

import (
	"net/netip"
	"os"

	"golang.org/x/sys/unix"
)

// backlog is the longest queue of connections that wait to be accepted; the kernel makes it as long as
// net.core.somaxconn allows (listen(2)).
const backlog = 1<<16 - 1

// ListenTCP opens a TCP socket that listens, does not block and closes on exec. What it accepts on Linux and the
// BSDs is armed and sends small segments at once (see [ArmNew]), and has no keepalive. both is for [::]: it takes
// IPv4 as well.
func ListenTCP(at netip.AddrPort, both bool) (fd int, err error) {
	family := unix.AF_INET6
	if at.Addr().Is4() {
		family = unix.AF_INET
	}
	if fd, err = Stream(family); err != nil {
		return -1, os.NewSyscallError("socket", err)
	}
	if err = listenOn(fd, at, both); err != nil {
		Close(fd)
		return -1, err
	}
	return fd, nil
}

func listenOn(fd int, at netip.AddrPort, both bool) error {
	if at.Addr() == netip.IPv6Unspecified() { // others are of one version anyway
		only := 1
		if both {
			only = 0
		}
		if err := unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, only); err != nil {
			return os.NewSyscallError("setsockopt", err)
		}
	}
	// A port on which connections of an old listener are in TIME_WAIT can be had again, as package net has it.
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err != nil {
		return os.NewSyscallError("setsockopt", err)
	}
	if err := ArmNew(fd); err != nil {
		return err
	}
	UnpaceListener(fd, at.Addr())
	if err := unix.Bind(fd, Sockaddr(at)); err != nil {
		return os.NewSyscallError("bind", err)
	}
	return os.NewSyscallError("listen", unix.Listen(fd, backlog))
}
