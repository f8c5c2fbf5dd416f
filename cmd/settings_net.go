package cmd

import (
	"fmt"
	"net/netip"
	"strings"
)

func setAllow(s *settings, text string) (err error) {
	s.allow, err = parseNetworks(text)
	return err
}

func setDeny(s *settings, text string) (err error) {
	s.deny, err = parseNetworks(text)
	return err
}

func setBind(s *settings, text string) (err error) {
	if s.bind, err = netip.ParseAddrPort(text); err == nil {
		return nil
	}
	alone := text
	if strings.HasPrefix(text, "[") && strings.HasSuffix(text, "]") {
		alone = text[1 : len(text)-1]
	}
	addr, err := netip.ParseAddr(alone)
	if err != nil {
		return fmt.Errorf("%q is no address (10.0.0.1, 10.0.0.1:9000, fe80::1%%eth0, [::1]:9000)", text)
	}
	s.bind = netip.AddrPortFrom(addr, 0)
	return nil
}

func setStats(s *settings, text string) error {
	o, err := ParseNet(text, true)
	if err != nil {
		return err
	}
	if o.Kind != TCP && o.Kind != Unix {
		return fmt.Errorf("%q: want unix:PATH or [HOST]:PORT", text)
	}
	if o.Kind == TCP && o.Host == "" {
		o.Host = "127.0.0.1" // totals are not for the whole world unless that is said
	}
	s.stats = o
	return nil
}

// parseNetworks reads a list of networks and single addresses. Bits beyond the
// prefix are dropped, IPv4 in IPv6 becomes IPv4.
func parseNetworks(text string) ([]netip.Prefix, error) {
	var list []netip.Prefix
	for _, word := range strings.Split(text, ",") {
		word = strings.TrimSpace(word)
		p, err := netip.ParsePrefix(word)
		if addr, alone := netip.ParseAddr(word); alone == nil && addr.Zone() == "" {
			p, err = addr.Prefix(addr.BitLen())
		}
		if err != nil {
			return nil, fmt.Errorf("%q is no network (10.0.0.0/8, 2001:db8::/32, 192.168.1.5)", word)
		}
		if p.Addr().Is4In6() && p.Bits() >= 96 {
			p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
		}
		list = append(list, p.Masked())
	}
	return list, nil
}
