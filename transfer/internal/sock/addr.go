package sock

import (
	"net"
	"net/netip"
	"strconv"

	"golang.org/x/sys/unix"
)

// Text writes an address as people write it: IP:PORT, [V6%zone]:PORT,
// unix:PATH, unix:@NAME; a Unix socket without a name has none.
func Text(sa unix.Sockaddr) string {
	switch a := sa.(type) {
	case *unix.SockaddrUnix:
		if a.Name == "" || a.Name == "@" { // package unix puts the @ for the zero byte, also where nothing follows
			return ""
		}
		return "unix:" + a.Name
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(a.Addr), uint16(a.Port)).String()
	case *unix.SockaddrInet6:
		ip := netip.AddrFrom16(a.Addr).Unmap()
		if a.ZoneId != 0 && ip.Is6() {
			ip = ip.WithZone(zoneName(int(a.ZoneId)))
		}
		return netip.AddrPortFrom(ip, uint16(a.Port)).String()
	}
	return ""
}

func zoneName(i int) string {
	if nif, err := net.InterfaceByIndex(i); err == nil {
		return nif.Name
	}
	return strconv.Itoa(i)
}

func zoneID(name string) uint32 {
	if nif, err := net.InterfaceByName(name); err == nil {
		return uint32(nif.Index)
	}
	n, _ := strconv.Atoi(name) // 0: the kernel says that there is no such interface
	return uint32(n)
}

// Sockaddr returns a new Sockaddr: unix.Connect writes into it.
func Sockaddr(a netip.AddrPort) unix.Sockaddr {
	ip := a.Addr()
	if ip.Is4() {
		return &unix.SockaddrInet4{Port: int(a.Port()), Addr: ip.As4()}
	}
	sa := &unix.SockaddrInet6{Port: int(a.Port()), Addr: ip.As16()}
	if ip.Zone() != "" {
		sa.ZoneId = zoneID(ip.Zone())
	}
	return sa
}
