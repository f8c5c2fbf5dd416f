package sock

import (
	"encoding/binary"
	"net/netip"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Raw system calls do not tell the Go scheduler that they may wait: they cost less, and
// they are for descriptors that do not block.

// Close closes a descriptor of ours that does not block; on Linux it is gone whatever close(2) returns.
// A socket that lingers for 0 seconds, or not at all, is closed without waiting.
func Close(fd int) { _, _, _ = unix.RawSyscall(unix.SYS_CLOSE, uintptr(fd), 0, 0) }

// ShutdownWrite ends the direction towards the peer.
func ShutdownWrite(fd int) error {
	if _, _, e := unix.RawSyscall(unix.SYS_SHUTDOWN, uintptr(fd), unix.SHUT_WR, 0); e != 0 {
		return e
	}
	return nil
}

// Connect begins to connect a TCP socket, without allocating as unix.Connect would.
func Connect(fd int, to netip.AddrPort) error {
	var in4 unix.RawSockaddrInet4
	var in6 unix.RawSockaddrInet6
	sa, n := unsafe.Pointer(&in6), unsafe.Sizeof(in6)
	port := [2]byte{byte(to.Port() >> 8), byte(to.Port())}
	if ip := to.Addr(); ip.Is4() {
		in4.Family, in4.Port, in4.Addr = unix.AF_INET, *(*uint16)(unsafe.Pointer(&port)), ip.As4()
		sa, n = unsafe.Pointer(&in4), unsafe.Sizeof(in4)
	} else {
		in6.Family, in6.Port, in6.Addr = unix.AF_INET6, *(*uint16)(unsafe.Pointer(&port)), ip.As16()
		if ip.Zone() != "" {
			in6.Scope_id = zoneID(ip.Zone())
		}
	}
	if _, _, e := unix.RawSyscall(unix.SYS_CONNECT, uintptr(fd), uintptr(sa), n); e != 0 {
		return e
	}
	return nil
}

// LocalAddr returns the address of a TCP socket.
func LocalAddr(fd int) netip.AddrPort {
	var sa unix.RawSockaddrAny
	n := uint32(unsafe.Sizeof(sa))
	if _, _, e := unix.RawSyscall(unix.SYS_GETSOCKNAME, uintptr(fd), uintptr(unsafe.Pointer(&sa)), uintptr(unsafe.Pointer(&n))); e != 0 {
		return netip.AddrPort{}
	}
	return addrPort(&sa)
}

// Accept takes a connection from a listening socket that does not block. The new socket
// does not block either, and closes on exec. peer is the zero AddrPort for a Unix socket.
func Accept(fd int) (c int, peer netip.AddrPort, err error) {
	var sa unix.RawSockaddrAny
	n := uint32(unsafe.Sizeof(sa))
	r, _, e := unix.RawSyscall6(unix.SYS_ACCEPT4, uintptr(fd), uintptr(unsafe.Pointer(&sa)), uintptr(unsafe.Pointer(&n)), unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0, 0)
	if e != 0 {
		return -1, peer, e
	}
	return int(r), addrPort(&sa), nil
}

// addrPort reads an address without allocating, as unix.Accept4 would for each connection.
func addrPort(sa *unix.RawSockaddrAny) netip.AddrPort {
	port := func(p *uint16) uint16 { return binary.BigEndian.Uint16((*[2]byte)(unsafe.Pointer(p))[:]) }
	switch sa.Addr.Family {
	case unix.AF_INET:
		in := (*unix.RawSockaddrInet4)(unsafe.Pointer(sa))
		return netip.AddrPortFrom(netip.AddrFrom4(in.Addr), port(&in.Port))
	case unix.AF_INET6:
		in := (*unix.RawSockaddrInet6)(unsafe.Pointer(sa))
		ip := netip.AddrFrom16(in.Addr).Unmap()
		if in.Scope_id != 0 && ip.Is6() {
			ip = ip.WithZone(zoneName(int(in.Scope_id)))
		}
		return netip.AddrPortFrom(ip, port(&in.Port))
	}
	return netip.AddrPort{}
}

// Stream opens a socket that does not block and closes on exec.
func Stream(family int) (int, error) {
	return unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
}
