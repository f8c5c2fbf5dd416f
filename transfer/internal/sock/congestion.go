package sock

import (
	"net/netip"
	"strings"

	"golang.org/x/sys/unix"
)

// Unpaced is the algorithm for peers on this host where the host's own paces. reno paces
// nothing, is part of every kernel, and every user may choose it (tcp_allowed_congestion_control, tcp(7)).
const Unpaced = "reno"

// Paces tells whether a congestion control sends each packet by a timer. In Linux 6.18 that is
// bbr and its successors (SK_PACING_NEEDED is set in tcp_bbr.c and nowhere else). Over loopback the timer
// takes 8 tenths of the speed: 2 GiB to a reader that discards, 1.5 GB/s against 9.4 to 12.
func Paces(algorithm string) bool { return strings.HasPrefix(algorithm, "bbr") }

// Pacing tells whether a TCP socket has such an algorithm, or none that can be told. What a listener accepts has its
// algorithm where that was set on it (tcp_ca_openreq_child in net/ipv4/tcp_minisocks.c).
func Pacing(fd int) bool {
	was, err := Congestion(fd)
	return err != nil || Paces(was)
}

// Unpace gives a TCP socket with a peer on this host an algorithm that does not pace, if its own
// does. Before connect(2) is the time for it: once bbr has begun, the kernel goes on to pace whatever
// follows it (sk_pacing_status is never taken back).
func Unpace(fd int, peer netip.Addr) {
	if was, err := Congestion(fd); err == nil && Paces(was) && OnThisHost(peer) {
		_ = SetCongestion(fd, Unpaced) // refused: it is only slower
	}
}

// UnpaceListener is Unpace for what a socket will accept, before listen(2). That is certain where it listens on a
// loopback address; who comes to another is seen when it is accepted.
func UnpaceListener(fd int, at netip.Addr) {
	if at.Unmap().IsLoopback() {
		Unpace(fd, at)
	}
}

// OnThisHost tells whether an address is one of this network namespace: loopback, or an own
// address. For a local destination the kernel chooses that same address as the source, which a
// UDP socket shows without sending anything.
func OnThisHost(a netip.Addr) bool {
	a = a.Unmap()
	if !a.IsValid() || a.IsLoopback() || a.IsUnspecified() {
		return a.IsValid()
	}
	family := unix.AF_INET6
	if a.Is4() {
		family = unix.AF_INET
	}
	fd, err := unix.Socket(family, unix.SOCK_DGRAM, 0)
	if err != nil {
		return false
	}
	defer unix.Close(fd)
	if unix.Connect(fd, Sockaddr(netip.AddrPortFrom(a, 9))) != nil { // discard; any port does
		return false
	}
	own, err := unix.Getsockname(fd)
	return err == nil && Addr(own).WithZone("") == a.WithZone("")
}

// Addr returns the IP address of a Sockaddr, without a zone; the zero Addr where it has none.
func Addr(sa unix.Sockaddr) netip.Addr {
	switch a := sa.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrFrom4(a.Addr)
	case *unix.SockaddrInet6:
		return netip.AddrFrom16(a.Addr).Unmap()
	}
	return netip.Addr{}
}
