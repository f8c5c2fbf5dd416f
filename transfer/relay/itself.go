package relay

import (
	"errors"
	"net/netip"
	"os"

	"github.com/zcp-go/zcp/transfer"
	"github.com/zcp-go/zcp/transfer/internal/sock"
)

// ErrItself is the error of a connection whose target is the relay itself: it would be accepted,
// connected to the relay again, and so on until there is no descriptor left.
var ErrItself = errors.New("the target is this relay itself")

// An ownAddr is where a listener of the relay can be reached.
type ownAddr struct {
	netip.AddrPort
	both bool        // it is [::] and takes IPv4 as well
	unix string      // the name of a Unix socket
	file os.FileInfo // of its path; nil: it is abstract, or was not made here
}

// ownAddrs returns where the listeners can be reached, by port: a range has thousands. Unix sockets are at 0.
func ownAddrs(socks []*listenSocket) map[uint16][]ownAddr {
	own := make(map[uint16][]ownAddr)
	for _, s := range socks {
		a, err := netip.ParseAddrPort(s.addr)
		if err != nil {
			own[0] = append(own[0], ownAddr{unix: s.addr, file: s.file})
			continue
		}
		both := a.Addr() == netip.IPv6Unspecified() && transfer.BothVersions(s.fd)
		own[a.Port()] = append(own[a.Port()], ownAddr{AddrPort: netip.AddrPortFrom(a.Addr().Unmap(), a.Port()), both: both})
	}
	return own
}

// itself reports whether connecting to an address would reach the relay. A wildcard listener has
// all addresses of this host; no other socket can listen on the same port of one of them.
func (r *Relay) itself(to netip.AddrPort) bool {
	for _, o := range r.own[to.Port()] {
		family := o.both || o.Addr().Is4() == to.Addr().Is4()
		if o.Addr() == to.Addr() || o.Addr().IsUnspecified() && family && sock.OnThisHost(to.Addr()) {
			return true
		}
	}
	return false
}

// itselfUnix is itself for a Unix socket: by its inode, which has one name or several, or by an abstract name.
func (r *Relay) itselfUnix(path string) bool {
	for _, o := range r.own[0] {
		if o.file == nil {
			if o.unix == path {
				return true
			}
		} else if fi, err := os.Stat(path); err == nil && os.SameFile(fi, o.file) {
			return true
		}
	}
	return false
}
