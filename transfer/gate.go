package transfer

import (
	"net/netip"
	"slices"
)

// A Gate says who may connect. Deny is asked first; an empty Allow allows every peer.
// Peers without an IP address (Unix sockets) always pass.
type Gate struct {
	Allow, Deny []netip.Prefix
}

// Admits tells whether a peer with this address may connect.
func (g *Gate) Admits(a netip.Addr) bool {
	a = a.Unmap().WithZone("")
	if !a.IsValid() {
		return true
	}
	if slices.ContainsFunc(g.Deny, func(p netip.Prefix) bool { return unmapped(p).Contains(a) }) {
		return false
	}
	return len(g.Allow) == 0 ||
		slices.ContainsFunc(g.Allow, func(p netip.Prefix) bool { return unmapped(p).Contains(a) })
}

// unmapped takes ::ffff:10.0.0.0/104 for the 10.0.0.0/8 that it means, or it would match no peer.
func unmapped(p netip.Prefix) netip.Prefix {
	if p.Addr().Is4In6() && p.Bits() >= 96 {
		return netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	return p
}
