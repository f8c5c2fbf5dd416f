package cmd

import (
	"net/netip"
	"strconv"
	"strings"
	"unicode/utf8"

	"golang.org/x/sys/unix"
)

// maxUnixName is the longest path or abstract name (with its @) of a Unix
// socket in bytes: sun_path holds 108 on Linux, one of them a zero (unix(7)).
const maxUnixName = len(unix.RawSockaddrUnix{}.Path) - 1

// ParseNet reads the NET of send and recv: HOST:PORT and unix: connect, or
// listen where -l is given; :PORT listens.
func ParseNet(text string, listen bool) (Operand, error) {
	if text == "-" {
		return Operand{}, usagef("- is stdin or stdout, not a network end: want HOST:PORT, :PORT or unix:PATH")
	}
	o, err := parseEnd(text)
	if err != nil {
		return Operand{}, err
	}
	o.Listen = o.Kind == TCP && (listen || o.Host == "") || o.Kind == Unix && listen
	return o, o.checkPort()
}

// ParseListen reads the LISTEN of relay, which always listens; - is stdin and
// stdout as one end.
func ParseListen(text string) (Operand, error) {
	if text == "-" {
		return Operand{Kind: Stdio, Text: text}, nil
	}
	o, err := parseEnd(text)
	if err != nil {
		return Operand{}, err
	}
	o.Listen = o.Kind == TCP || o.Kind == Unix
	return o, nil
}

// ParseTarget reads the TARGET of relay, which always connects; - is stdin and
// stdout as one end.
func ParseTarget(text string) (Operand, error) {
	if text == "-" {
		return Operand{Kind: Stdio, Text: text}, nil
	}
	o, err := parseEnd(text)
	switch {
	case err != nil:
		return Operand{}, err
	case o.Kind == SD:
		return Operand{}, usagef("%s: systemd passes sockets that listen, the target connects", o)
	case o.Kind == TCP && o.Host == "":
		return Operand{}, usagef("%s: the target connects, so it needs a host: localhost:%s", o, o.Port)
	}
	return o, o.checkPort()
}

// checkPort refuses what only a listener can use.
func (o Operand) checkPort() error {
	if o.Kind == TCP && !o.Listen && o.Port == "0" {
		return usagef("%s: port 0 (any that is free) is for listening, not for connecting", o)
	}
	return nil
}

// parseEnd reads a network end without asking what it is for.
func parseEnd(text string) (Operand, error) {
	if strings.IndexByte(text, 0) >= 0 {
		return Operand{}, usagef("%s: a name cannot hold a zero byte", Quote(text))
	}
	if path, ok := strings.CutPrefix(text, "unix:"); ok {
		return parseUnix(text, path)
	}
	if name, ok := strings.CutPrefix(text, "sd:"); ok {
		return Operand{Kind: SD, Name: name, Text: text}, nil
	}
	if o, ok, err := parseFD(text); ok || err != nil {
		return o, err
	}
	body := strings.TrimPrefix(text, "tcp:")
	host, port, err := splitHostPort(text, body)
	if err != nil {
		return Operand{}, err
	}
	o := Operand{Kind: TCP, Network: "tcp", Host: host, Text: text}
	o.Port, err = parsePort(text, port)
	return o, err
}

func parseUnix(text, path string) (Operand, error) {
	switch {
	case path == "" || path == "@":
		return Operand{}, usagef("%s: missing name, want unix:PATH or unix:@NAME", Quote(text))
	case len(path) > maxUnixName:
		return Operand{}, usagef("%s: %d bytes are too long for the name of a Unix socket, the most is %d", Quote(text), len(path), maxUnixName)
	}
	o := Operand{Kind: Unix, Network: "unix", Text: text}
	if path[0] == '@' {
		o.Name = path[1:]
	} else {
		o.Path = path
	}
	return o, nil
}

// splitHostPort takes HOST:PORT apart, with a message for each way to get it
// wrong; text is what was typed, body the same without tcp:.
func splitHostPort(text, body string) (host, port string, err error) {
	if strings.HasPrefix(body, "[") {
		return splitBrackets(text, body)
	}
	colon := strings.LastIndexByte(body, ':')
	if colon < 0 {
		return "", "", usagef("%q: missing port, want HOST:PORT", text)
	}
	host, port = body[:colon], body[colon+1:]
	switch {
	case strings.Contains(host, "://"):
		return "", "", usagef("%q: zcp speaks no protocol of its own, want HOST:PORT", text)
	case isIPv6(host) && port != "":
		return "", "", usagef("%q: an IPv6 address goes in brackets, want [%s]:%s", text, host, port)
	case isIPv6(body):
		return "", "", usagef("%q: missing port, want [%s]:PORT", text, body)
	case host == "*":
		return "", "", usagef("%q: every address is just :%s", text, port)
	}
	if i := strings.IndexFunc(host, notOfHost); i >= 0 {
		r, _ := utf8.DecodeRuneInString(host[i:])
		return "", "", usagef("%q: the name of a host cannot hold %q, want HOST:PORT", text, r)
	}
	return host, port, nil
}

// splitBrackets takes [V6]:PORT apart.
func splitBrackets(text, body string) (host, port string, err error) {
	end := strings.LastIndexByte(body, ']')
	if end < 0 {
		return "", "", usagef("%q: missing ], want [V6]:PORT", text)
	}
	host, rest := body[1:end], body[end+1:]
	if !isIPv6(host) {
		return "", "", usagef("%q: %q is no IPv6 address, want [V6]:PORT", text, host)
	}
	port, found := strings.CutPrefix(rest, ":")
	if !found {
		return "", "", usagef("%q: missing port, want [%s]:PORT", text, host)
	}
	return host, port, nil
}

func isIPv6(text string) bool {
	a, err := netip.ParseAddr(text)
	return err == nil && a.Is6() && !hasUnseen(text) // a zone may hold anything
}

// notOfHost finds what cannot be in the name of a host. It is generous: names
// with _ exist, and what a resolver makes of letters beyond ASCII is its affair.
func notOfHost(r rune) bool {
	return strings.ContainsRune(":/[]@?#\"' \\", r) || hasUnseen(string(r))
}

// parsePort checks a port number or the name of a service, which is looked up
// only when it is needed.
func parsePort(text, port string) (string, error) {
	if port == "" {
		return "", usagef("%q: missing port, want HOST:PORT", text)
	}
	if strings.Trim(port, "0123456789") == "" {
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil {
			return "", usagef("%q: port %s is not between 1 and 65535", text, port)
		}
		return strconv.FormatUint(n, 10), nil
	}
	letter := func(r rune) bool { return r|0x20 >= 'a' && r|0x20 <= 'z' }
	service := func(r rune) bool { return letter(r) || r >= '0' && r <= '9' || strings.ContainsRune("-_.+", r) }
	if strings.IndexFunc(port, letter) < 0 || strings.IndexFunc(port, func(r rune) bool { return !service(r) }) >= 0 {
		return "", usagef("%q: %q is neither a port number nor the name of a service", text, port)
	}
	return port, nil
}
