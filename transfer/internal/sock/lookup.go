package sock

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"strings"
)

const resolvConf = "/etc/resolv.conf"

// LookUp finds the addresses of a host, best first (RFC 6724); a literal address is itself. network is "ip",
// "ip4" or "ip6". The error is a *net.DNSError whose words name the cause.
func LookUp(ctx context.Context, network, host string) ([]netip.Addr, error) {
	if ip, err := netip.ParseAddr(host); err == nil {
		ip = ip.Unmap()
		if network == "ip4" && ip.Is6() || network == "ip6" && ip.Is4() {
			return nil, &net.AddrError{Err: "not an address of this family", Addr: host}
		}
		return []netip.Addr{ip}, nil
	}
	var ips []netip.Addr
	var err error
	if local(host) {
		ips = lookUpLocal(ctx, network, host)
	} else {
		ips, err = net.DefaultResolver.LookupNetIP(ctx, network, host)
	}
	for i := range ips {
		ips[i] = ips[i].Unmap()
	}
	return ips, inWords(err)
}

// local tells the names that are this host's by definition: RFC 6761, 6.3.
func local(host string) bool {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	return host == "localhost" || strings.HasSuffix(host, ".localhost")
}

// lookUpLocal asks /etc/hosts alone, and knows the answer where that has none: no name server is
// asked for localhost, and none is needed.
func lookUpLocal(ctx context.Context, network, host string) []netip.Addr {
	hosts := net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		return nil, errors.New("no name server is asked")
	}}
	if ips, err := hosts.LookupNetIP(ctx, network, host); err == nil {
		return ips
	}
	v4, v6 := netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.IPv6Loopback()
	switch network {
	case "ip4":
		return []netip.Addr{v4}
	case "ip6":
		return []netip.Addr{v6}
	}
	return []netip.Addr{v6, v4}
}

// inWords puts what the resolver says of its sockets ("read udp [::1]:40000->[::1]:53: read: connection
// refused") into words. Without resolv.conf Go asks this host's own port 53 (resolv.conf(5) has it so).
func inWords(err error) error {
	dns, ok := errors.AsType[*net.DNSError](err)
	if !ok || dns.IsNotFound {
		return err
	}
	e := *dns
	server := "the name server"
	if host, _, err := net.SplitHostPort(e.Server); err == nil {
		server += " " + host
	}
	_, missing := os.Stat(resolvConf)
	switch {
	case errors.Is(missing, fs.ErrNotExist):
		e.Err = "no name server is known: " + resolvConf + " does not exist"
	case e.IsTimeout:
		e.Err = server + " does not answer"
	case strings.Contains(e.Err, "->") || strings.HasPrefix(e.Err, "dial "):
		e.Err = server + " cannot be reached: " + e.Err[strings.LastIndex(e.Err, ": ")+2:]
	}
	return &e
}
