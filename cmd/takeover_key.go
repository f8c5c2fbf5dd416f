package cmd

import (
	"context"
	"net"
	"net/netip"
	"strconv"

	"github.com/zcp-go/zcp/cmd/conf"
	"github.com/zcp-go/zcp/transfer"
)

// keyOf is the address of a listening socket, by which old and new find each other: *:PORT for both IP versions.
func keyOf(addr string, fd int) string {
	if a, err := netip.ParseAddrPort(addr); err == nil && a.Addr() == netip.IPv6Unspecified() && transfer.BothVersions(fd) {
		return "*:" + strconv.Itoa(int(a.Port()))
	}
	return addr
}

// keysOf are the addresses that an operand may listen on.
func keysOf(ctx context.Context, op conf.Operand, n conf.Network) []string {
	if op.Kind == conf.Unix {
		return []string{address(op)}
	}
	network, at, err := transfer.ListenAddress(ctx, family(op, n), address(op))
	if err != nil {
		return nil // listening says what is wrong
	}
	host, port, _ := net.SplitHostPort(at) // it was made by JoinHostPort
	number, err := net.DefaultResolver.LookupPort(ctx, network, port)
	if err != nil || number == 0 {
		return nil
	}
	port = strconv.Itoa(number)
	switch {
	case host != "":
		return []string{net.JoinHostPort(host, port)}
	case network == "tcp4":
		return []string{"0.0.0.0:" + port}
	case network == "tcp6":
		return []string{"[::]:" + port}
	}
	return []string{"*:" + port, "0.0.0.0:" + port} // the second on a host without IPv6
}
