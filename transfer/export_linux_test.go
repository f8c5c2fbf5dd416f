package transfer

import (
	"context"
	"net/netip"
)

// Linger is SO_LINGER as a socket carries it now.
var Linger = getLinger

// Pollers are what a relay's loops can wait with: epoll, and the poll(2) of other systems.
var Pollers = map[string]func(*Relay){
	"epoll": func(*Relay) {},
	"poll":  func(r *Relay) { r.newPoller = newPollSet },
}

// Resolves makes the name of a relay's target have these addresses.
func Resolves(addrs ...netip.AddrPort) func(*Relay) {
	return func(r *Relay) {
		r.lookUp = func(context.Context) ([]netip.AddrPort, error) { return addrs, nil }
	}
}

// CloseIdlePipes closes the pipes that the process keeps for the next one.
var CloseIdlePipes = defaultPool.CloseIdle
