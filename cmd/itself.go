package cmd

import (
	"net"
	"net/netip"
	"os"
	"strings"

	"github.com/zcp-go/zcp/cmd/conf"
	"github.com/zcp-go/zcp/cmd/exit"
)

// refuseItself refuses a relay whose TARGET is its own LISTEN, as far as both are written as addresses: each
// connection would make the next one, until descriptors run out. A name that leads back here is for the
// relay to notice when it connects.
func refuseItself(c *conf.Relay, lns ...net.Addr) error {
	same := false
	switch {
	case c.Target.Kind == conf.TCP && c.Listen.Kind == conf.TCP:
		same = sameTCP(c.Listen.Host, c.Listen.Port, c.Target)
	case c.Target.Kind == conf.Unix && c.Listen.Kind == conf.Unix:
		same = sameUnix(address(c.Listen), address(c.Target))
	}
	for _, a := range lns { // inherited: known by what the kernel says
		switch host, port, err := net.SplitHostPort(a.String()); {
		case c.Target.Kind == conf.TCP && a.Network() == "tcp" && err == nil:
			same = same || sameTCP(host, port, c.Target)
		case c.Target.Kind == conf.Unix && a.Network() == "unix":
			same = same || sameUnix(a.String(), address(c.Target))
		}
	}
	if same {
		return exit.Usagef("%s to %s: the relay would connect to itself", c.Listen, c.Target)
	}
	return nil
}

// sameTCP tells whether a connection to target would arrive at host:port. A host of "" listens on every address.
func sameTCP(host, port string, target conf.Operand) bool {
	if port == "0" || port != target.Port {
		return false
	}
	to, ok := literal(target.Host)
	if !ok {
		return false
	}
	if host == "" {
		return ownAddress(to)
	}
	on, ok := literal(host)
	switch {
	case !ok:
		return false
	case on.IsUnspecified(): // [::] of an inherited socket may stand for both IP versions
		return (on.Is6() || to.Is4()) && ownAddress(to)
	case to.IsUnspecified(): // connect(2) takes it for this host's loopback
		return on.IsLoopback()
	}
	return on == to
}

// literal reads an address, and localhost, which is one by definition (RFC 6761).
func literal(host string) (netip.Addr, bool) {
	if strings.EqualFold(host, "localhost") {
		return netip.AddrFrom4([4]byte{127, 0, 0, 1}), true
	}
	ip, err := netip.ParseAddr(host)
	return ip.Unmap(), err == nil
}

// ownAddress tells whether an address is this host's.
func ownAddress(ip netip.Addr) bool {
	if ip.IsLoopback() || ip.IsUnspecified() {
		return true
	}
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return false // the relay notices when it connects
	}
	for _, a := range addrs {
		if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr().Unmap() == ip.WithZone("") {
			return true
		}
	}
	return false
}

// sameUnix tells whether two names are one socket: by device and inode, or one abstract name.
func sameUnix(a, b string) bool {
	if a == b {
		return true
	}
	x, errX := os.Stat(a)
	y, errY := os.Stat(b)
	return errX == nil && errY == nil && os.SameFile(x, y)
}
