package sock

import (
	"bytes"
	"net/netip"
	"os"
	"strconv"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// GetLinger returns SO_LINGER.
func GetLinger(fd int) (unix.Linger, error) {
	var l unix.Linger
	n := uint32(unsafe.Sizeof(l))
	_, _, e := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(fd), unix.SOL_SOCKET, unix.SO_LINGER,
		uintptr(unsafe.Pointer(&l)), uintptr(unsafe.Pointer(&n)), 0)
	if e != 0 {
		return l, os.NewSyscallError("getsockopt", e)
	}
	return l, nil
}

// Disconnect ends a TCP connection by connecting to nowhere (AF_UNSPEC, connect(2)), which
// sends a reset however many processes hold the socket.
func Disconnect(fd int) {
	var unspec unix.RawSockaddr // family 0
	// A refusal leaves the connection to its other holders; there is nothing else to try.
	_, _, _ = unix.Syscall(unix.SYS_CONNECT, uintptr(fd), uintptr(unsafe.Pointer(&unspec)), unsafe.Sizeof(unspec))
}

// SetKeepAlive has the kernel ask a silent peer whether it lives, as KeepAlive says. Each option only
// helps: one that is refused leaves the system's own value.
func SetKeepAlive(fd int) {
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1)
	_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, int(KeepAlive.Idle/time.Second))
	_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, int(KeepAlive.Interval/time.Second))
	_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_KEEPCNT, KeepAlive.Count)
}

// BindNoPort lets bind(2) choose the address only, and connect(2) the port, so that as
// many connections are possible as there are ports for each target (IP_BIND_ADDRESS_NO_PORT, ip(7)).
func BindNoPort(fd int) {
	_ = unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1) // refused: fewer are possible
}

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

// EphemeralMin returns the lowest port that the kernel gives to sockets that connect (ip_local_port_range, ip(7)).
func EphemeralMin() uint16 {
	b, err := os.ReadFile("/proc/sys/net/ipv4/ip_local_port_range")
	if f := bytes.Fields(b); err == nil && len(f) > 0 {
		if n, err := strconv.ParseUint(string(f[0]), 10, 16); err == nil {
			return uint16(n)
		}
	}
	return 1024
}

// DropIncoming has a listening TCP socket drop every segment that arrives, or ends that. It is a
// filter that keeps nothing (SO_ATTACH_FILTER, socket(7)): a SYN is not answered, and its sender sends
// it again after a second. What is in the backlog stays there. A refusal leaves the socket as it is.
func DropIncoming(fd int, on bool) {
	if !on {
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_DETACH_FILTER, 0)
		return
	}
	drop := unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K}
	_ = unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: 1, Filter: &drop})
}
