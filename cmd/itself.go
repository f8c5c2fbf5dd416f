package cmd

import (
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"

	"github.com/zcp-go/zcp/cmd/conf"
	"github.com/zcp-go/zcp/cmd/exit"
)

// refuseItself refuses a relay one of whose TARGETs is one of its own LISTENs, as far as both are written as
// addresses: each connection would make the next one, until descriptors run out. A name that leads back here
// is for the relay to notice when it connects. lns are what the kernel says, for sockets that were inherited.
func refuseItself(c *conf.Relay, lns ...net.Addr) error {
	hosts := make(map[string][]string) // by port
	var paths []string
	for _, pair := range c.Pairs {
		for p := range pair.Each() {
			switch p.Listen.Kind {
			case conf.TCP:
				hosts[p.Listen.Port] = append(hosts[p.Listen.Port], p.Listen.Host)
			case conf.Unix:
				paths = append(paths, address(p.Listen))
			}
		}
	}
	for _, a := range lns {
		switch host, port, err := net.SplitHostPort(a.String()); {
		case a.Network() == "tcp" && err == nil:
			hosts[port] = append(hosts[port], host)
		case a.Network() == "unix":
			paths = append(paths, a.String())
		}
	}
	for _, pair := range c.Pairs {
		for p := range pair.Each() {
			for _, t := range p.Targets {
				if isOneOf(t, hosts[t.Port], paths) {
					return exit.Usagef("%s to %s: the relay would connect to itself", p.Listen, t)
				}
			}
		}
	}
	return nil
}

// isOneOf tells whether a connection to a target would arrive at one of these hosts, on the target's port,
// or at one of these paths.
func isOneOf(t conf.Operand, hosts, paths []string) bool {
	switch t.Kind {
	case conf.TCP:
		return slices.ContainsFunc(hosts, func(host string) bool { return sameTCP(host, t.Port, t) })
	case conf.Unix:
		return slices.ContainsFunc(paths, func(path string) bool { return sameUnix(path, address(t)) })
	}
	return false
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
	return slices.Contains(interfaceAddrs(), ip.WithZone(""))
}

// interfaceAddrs are this host's addresses; none where they cannot be had: the relay notices when it connects.
var interfaceAddrs = sync.OnceValue(func() (own []netip.Addr) {
	addrs, _ := net.InterfaceAddrs()
	for _, a := range addrs {
		if p, err := netip.ParsePrefix(a.String()); err == nil {
			own = append(own, p.Addr().Unmap())
		}
	}
	return own
})

// sameUnix tells whether two names are one socket: by device and inode, or one abstract name.
func sameUnix(a, b string) bool {
	if a == b {
		return true
	}
	x, errX := os.Stat(a)
	y, errY := os.Stat(b)
	return errX == nil && errY == nil && os.SameFile(x, y)
}
