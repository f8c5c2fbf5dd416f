package cmd

import (
	"net"
	"net/netip"
	"testing"
)

// What the other end has to type, by where we listen and what addresses this host has.
func TestReachable(t *testing.T) {
	var own []netip.Addr
	for _, a := range []string{"127.0.0.1", "::1", "10.0.0.5", "fd00::5", "fe80::1", "172.17.0.1", "172.18.0.1", "172.19.0.1"} {
		own = append(own, netip.MustParseAddr(a))
	}
	for _, tc := range []struct {
		listen, host string
		own          []netip.Addr
		here, there  string
	}{
		{"::", "vm", own[:5], ":9000 (10.0.0.5, fd00::5)", "vm:9000"},
		{"::", "vm", own, ":9000 (10.0.0.5, fd00::5, 172.17.0.1, 172.18.0.1)", "vm:9000"},
		{"0.0.0.0", "vm", own[:5], "0.0.0.0:9000 (10.0.0.5)", "vm:9000"},
		{"::", "", own[:5], ":9000 (10.0.0.5, fd00::5)", "10.0.0.5:9000"},
		{"::", "localhost", own[3:5], ":9000 (fd00::5)", "[fd00::5]:9000"},
		{"::", "vm", own[:2], "", ""},
		{"10.0.0.5", "vm", own, "", ""},
		{"127.0.0.1", "vm", own, "", ""},
	} {
		here, there := reachable(&net.TCPAddr{IP: net.ParseIP(tc.listen), Port: 9000}, tc.host, tc.own)
		if here != tc.here || there != tc.there {
			t.Errorf("%s of %q with %v: %q and %q, want %q and %q", tc.listen, tc.host, tc.own, here, there, tc.here, tc.there)
		}
	}
}

func TestTypedThere(t *testing.T) {
	for want, got := range map[string]string{
		"zcp send FILE %s":                   typedThere(receiving, false),
		"zcp recv %s DIR/":                   typedThere(sending, true),
		"zcp send --resume --verify FILE %s": typedThere(receiving, false, "--resume", "--verify"),
		"zcp recv --verify %s FILE":          typedThere(sending, false, "--verify"),
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
