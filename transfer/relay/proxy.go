package relay

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net/netip"
	"strconv"
	"strings"
)

// The PROXY protocol, https://www.haproxy.org/download/2.8/doc/proxy-protocol.txt: a header before the first byte of a
// connection says whose it is. Version 1 is a line of text, version 2 is binary.
const (
	proxyMax1   = 107      // bytes of a line, with its end
	proxyFixed2 = 16       // bytes of version 2 before the addresses: signature, command, family, length
	proxyKept   = 16 + 216 // bytes that addresses can take; what follows are TLVs, which are skipped
)

var (
	proxyLine      = []byte("PROXY ")
	proxySignature = []byte("\r\n\r\n\x00\r\nQUIT\n")
)

// Errors of a client that has to say a PROXY header.
var (
	ErrBadHeader  = errors.New("malformed PROXY header")
	ErrNoHeader   = errors.New("no PROXY header")
	ErrLateHeader = errors.New("the PROXY header did not come in time")
)

// A proxied is what a header says. Both are zero where it says nothing of the client: LOCAL and UNKNOWN, and
// families other than TCP over IP, mean the connection itself.
type proxied struct{ from, to netip.AddrPort }

// proxyLength returns how long the header at the beginning of b is, or 0 if b does not hold enough to tell: then all
// of b belongs to it.
func proxyLength(b []byte) (int, error) {
	switch {
	case agree(b, proxyLine):
		end := bytes.IndexByte(b[:min(len(b), proxyMax1)], '\n')
		switch {
		case end >= 0:
			return end + 1, nil
		case len(b) >= proxyMax1:
			return 0, ErrBadHeader
		}
	case !agree(b, proxySignature):
		if b[0] == proxyLine[0] || b[0] == proxySignature[0] {
			return 0, ErrBadHeader
		}
		return 0, ErrNoHeader
	case len(b) >= 13 && b[12] != 0x20 && b[12] != 0x21, // version 2: LOCAL or PROXY
		len(b) >= 14 && (b[13]>>4 > 3 || b[13]&15 > 2):
		return 0, ErrBadHeader
	case len(b) >= proxyFixed2:
		return proxyFixed2 + int(binary.BigEndian.Uint16(b[14:])), nil
	}
	return 0, nil
}

// agree tells whether the shorter of two is the beginning of the other.
func agree(a, b []byte) bool {
	n := min(len(a), len(b))
	return bytes.Equal(a[:n], b[:n])
}

// parseProxy reads a whole header; what follows the addresses of version 2 may be missing.
func parseProxy(b []byte) (proxied, error) {
	if b[0] == proxyLine[0] {
		return parseProxy1(string(b))
	}
	size := proxyFixed2 + int(binary.BigEndian.Uint16(b[14:]))
	each := map[byte]int{0x11: 4, 0x21: 16}[b[13]] // TCP over IPv4, over IPv6
	if b[12] == 0x20 || each == 0 {
		return proxied{}, nil
	}
	if size < proxyFixed2+2*each+4 {
		return proxied{}, ErrBadHeader
	}
	at := b[proxyFixed2:]
	from, _ := netip.AddrFromSlice(at[:each]) // 4 or 16 bytes are an address
	to, _ := netip.AddrFromSlice(at[each : 2*each])
	ports := at[2*each:]
	return proxied{netip.AddrPortFrom(from.Unmap(), binary.BigEndian.Uint16(ports)),
		netip.AddrPortFrom(to.Unmap(), binary.BigEndian.Uint16(ports[2:]))}, nil
}

// parseProxy1 reads "PROXY TCP4 FROM TO PORT PORT\r\n", with exactly one space between two words.
func parseProxy1(line string) (proxied, error) {
	line, ok := strings.CutSuffix(line, "\r\n")
	if !ok {
		return proxied{}, ErrBadHeader
	}
	words := strings.Split(line, " ")
	if words[1] == "UNKNOWN" { // what follows is to be ignored
		return proxied{}, nil
	}
	if len(words) != 6 || words[1] != "TCP4" && words[1] != "TCP6" {
		return proxied{}, ErrBadHeader
	}
	var p proxied
	for i, to := range []*netip.AddrPort{&p.from, &p.to} {
		a, err := netip.ParseAddr(words[2+i])
		port, ok := proxyPort(words[4+i])
		if err != nil || !ok || a.Zone() != "" || a.Is4() != (words[1] == "TCP4") {
			return proxied{}, ErrBadHeader
		}
		*to = netip.AddrPortFrom(a.Unmap(), port)
	}
	return p, nil
}

// proxyPort reads a port, without a sign or a leading zero.
func proxyPort(s string) (uint16, bool) {
	n, err := strconv.ParseUint(s, 10, 16)
	return uint16(n), err == nil && strconv.FormatUint(n, 10) == s
}

// appendProxy appends the header for a connection. Addresses that are not of one family say nothing: UNKNOWN, LOCAL.
func appendProxy(b []byte, version int, p proxied) []byte {
	from, to := p.from.Addr().Unmap(), p.to.Addr().Unmap()
	known := from.IsValid() && to.IsValid()
	if known && from.Is4() != to.Is4() { // the IPv6 form of both
		from, to = netip.AddrFrom16(from.As16()), netip.AddrFrom16(to.As16())
	}
	if version == 1 {
		if !known {
			return append(b, "PROXY UNKNOWN\r\n"...)
		}
		family := "TCP6 "
		if from.Is4() {
			family = "TCP4 "
		}
		b = append(append(b, proxyLine...), family...)
		b = append(from.WithZone("").AppendTo(b), ' ')
		b = append(to.WithZone("").AppendTo(b), ' ')
		b = append(strconv.AppendUint(b, uint64(p.from.Port()), 10), ' ')
		return append(strconv.AppendUint(b, uint64(p.to.Port()), 10), '\r', '\n')
	}
	b = append(b, proxySignature...)
	switch {
	case !known:
		return append(b, 0x20, 0, 0, 0)
	case from.Is4():
		b = append(b, 0x21, 0x11, 0, 12)
	default:
		b = append(b, 0x21, 0x21, 0, 36)
	}
	b = append(append(b, from.AsSlice()...), to.AsSlice()...)
	b = binary.BigEndian.AppendUint16(b, p.from.Port())
	return binary.BigEndian.AppendUint16(b, p.to.Port())
}
