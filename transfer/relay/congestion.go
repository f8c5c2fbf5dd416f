package relay

import (
	"net/netip"
	"time"

	"github.com/zcp-go/zcp/transfer/internal/sock"
)

// control gives a socket the congestion control that was asked for, or one that does not pace if
// the host's does and the peer is on this host. A listener on a loopback address passes it on (listenSocket.unpaced);
// who comes to another is only known here.
func (l *loop) control(fd int, peer netip.Addr) error {
	switch {
	case l.r.Dialer.Congestion != "":
		return sock.SetCongestion(fd, l.r.Dialer.Congestion)
	case l.r.paced && l.near(peer, l.now):
		return sock.SetCongestion(fd, sock.Unpaced)
	}
	return nil
}

// neighbours remembers which addresses are this host's own, because to ask costs four system calls.
type neighbours struct {
	own    map[netip.Addr]bool
	forget int64 // when addresses may have changed, on the loop's clock
}

const (
	mostNeighbours = 1024 // so many addresses are remembered at most, for a loop
	rememberFor    = int64(10 * time.Second)
)

// near tells whether an address is this host's.
func (n *neighbours) near(a netip.Addr, now int64) bool {
	if a = a.Unmap(); a.IsLoopback() {
		return true
	}
	if now >= n.forget || len(n.own) >= mostNeighbours {
		n.own, n.forget = make(map[netip.Addr]bool), now+rememberFor
	}
	own, known := n.own[a]
	if !known {
		own = sock.OnThisHost(a)
		n.own[a] = own
	}
	return own
}
