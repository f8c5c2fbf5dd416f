package conf

import (
	"net/netip"
	"strconv"
	"strings"
	"unicode/utf8"

	"golang.org/x/sys/unix"

	"github.com/zcp-go/zcp/cmd/exit"
	"github.com/zcp-go/zcp/cmd/text"
)

// maxUnixName is the longest path or abstract name (with its @) of a Unix
// socket in bytes: sun_path holds 108 on Linux, one of them a zero (unix(7)).
const maxUnixName = len(unix.RawSockaddrUnix{}.Path) - 1

// parseNet reads the NET of send and recv: HOST:PORT and unix: connect, or
// listen where -l is given; :PORT listens.
func parseNet(word string, listen bool) (Operand, error) {
	if word == "-" {
		return Operand{}, exit.Usagef("- is stdin or stdout, not a network end: want HOST:PORT, :PORT or unix:PATH")
	}
	o, err := parseEnd(word)
	if err != nil {
		return Operand{}, err
	}
	o.Listen = o.Kind == TCP && (listen || o.Host == "") || o.Kind == Unix && listen
	return o, firstError(o.checkPort(), o.checkHost())
}

// parseListen reads the LISTEN of relay, which always listens; - is stdin and
// stdout as one end.
func parseListen(word string) (Operand, error) {
	if word == "-" {
		return Operand{Kind: Stdio, Text: word}, nil
	}
	o, err := parseRange(word)
	if err != nil {
		return Operand{}, err
	}
	o.Listen = o.Kind == TCP || o.Kind == Unix
	return o, nil
}

// parseTargets reads the TARGETs of relay that commas separate. A comma of a unix: path belongs to it.
func parseTargets(words string) (targets []Operand, err error) {
	for more := true; more; {
		word := words
		if !strings.HasPrefix(words, "unix:") {
			word, words, more = strings.Cut(words, ",")
		} else {
			more = false
		}
		o, err := parseTarget(word)
		if err != nil {
			return nil, err
		}
		targets = append(targets, o)
	}
	return targets, nil
}

// parseRange reads a network end whose port may be a range: digits, hyphen, digits.
func parseRange(word string) (Operand, error) {
	colon := strings.LastIndexByte(word, ':')
	first, last, hyphen := strings.Cut(word[colon+1:], "-")
	if !hyphen || !isNumber(first) || !isNumber(last) || strings.HasPrefix(word, "unix:") || strings.HasPrefix(word, "sd:") {
		return parseEnd(word)
	}
	o, err := parseEnd(word[:colon+1] + first)
	if err != nil {
		return Operand{}, err
	}
	from, _ := strconv.ParseUint(o.Port, 10, 16) // parseEnd has read it
	to, err := strconv.ParseUint(last, 10, 16)
	if err != nil || from == 0 || to < from {
		return Operand{}, exit.Usagef("%q: want a range of ports between 1 and 65535, the lower one first", word)
	}
	o.Ports, o.Text = int(to-from)+1, word
	return o, nil
}

// parseTarget reads the TARGET of relay, which always connects; - is stdin and
// stdout as one end.
func parseTarget(word string) (Operand, error) {
	if word == "-" {
		return Operand{Kind: Stdio, Text: word}, nil
	}
	if isNumber(word) {
		return Operand{}, exit.Usagef("%q: the target needs a host: localhost:%s", word, word)
	}
	o, err := parseRange(word)
	switch {
	case err != nil:
		return Operand{}, err
	case o.Kind == SD:
		return Operand{}, exit.Usagef("%s: systemd passes sockets that listen, the target connects", o)
	case o.Kind == TCP && o.Host == "":
		return Operand{}, exit.Usagef("%s: the target connects, so it needs a host: localhost:%s", o, o.Port)
	}
	return o, o.checkPort()
}

// checkPort refuses what only a listener can use.
func (o Operand) checkPort() error {
	if o.Kind == TCP && !o.Listen && o.Port == "0" {
		return exit.Usagef("%s: port 0 (any that is free) is for listening, not for connecting", o)
	}
	return nil
}

// checkHost refuses to connect to every address, which a listener is meant to have.
func (o Operand) checkHost() error {
	addr, err := netip.ParseAddr(o.Host)
	if o.Kind == TCP && !o.Listen && err == nil && addr.IsUnspecified() {
		return exit.Usagef("%s: %s is an address to listen on: :%s, or --listen", o, o.Host, o.Port)
	}
	return nil
}

// parseEnd reads a network end without asking what it is for.
func parseEnd(word string) (Operand, error) {
	if strings.IndexByte(word, 0) >= 0 {
		return Operand{}, exit.Usagef("%s: a name cannot hold a zero byte", text.Quote(word))
	}
	if path, ok := strings.CutPrefix(word, "unix:"); ok {
		return parseUnix(word, path)
	}
	if name, ok := strings.CutPrefix(word, "sd:"); ok {
		return Operand{Kind: SD, Name: name, Text: word}, nil
	}
	if o, ok, err := parseFD(word); ok || err != nil {
		return o, err
	}
	if err := checkScheme(word); err != nil {
		return Operand{}, err
	}
	body, _ := strings.CutPrefix(word, "tcp://") // as everybody else writes it
	if body == word {
		body = strings.TrimPrefix(word, "tcp:")
	}
	host, port, err := splitHostPort(word, body)
	if err != nil {
		return Operand{}, err
	}
	o := Operand{Kind: TCP, Network: "tcp", Host: host, Text: word}
	o.Port, err = parsePort(word, port)
	return o, err
}

func parseUnix(word, path string) (Operand, error) {
	switch {
	case path == "" || path == "@":
		return Operand{}, exit.Usagef("%s: missing name, want unix:PATH or unix:@NAME", text.Quote(word))
	case len(path) > maxUnixName:
		return Operand{}, exit.Usagef("%s: %d bytes are too long for the name of a Unix socket, the maximum is %d", text.Quote(word), len(path), maxUnixName)
	}
	o := Operand{Kind: Unix, Network: "unix", Text: word}
	if path[0] == '@' {
		o.Name = path[1:]
	} else {
		o.Path = path
	}
	return o, nil
}

// splitHostPort takes HOST:PORT apart, with a message for each way to get it
// wrong; text is what was typed, body the same without tcp:.
func splitHostPort(word, body string) (host, port string, err error) {
	if strings.HasPrefix(body, "[") {
		return splitBrackets(word, body)
	}
	colon := strings.LastIndexByte(body, ':')
	if colon < 0 {
		return "", "", missingPort(word, body)
	}
	host, port = body[:colon], body[colon+1:]
	switch {
	case strings.Contains(body, "://"):
		return "", "", exit.Usagef("%q: zcp speaks no protocol of its own, want HOST:PORT", word)
	case isIPv6(host) && port != "":
		return "", "", exit.Usagef("%q: an IPv6 address goes in brackets, want [%s]:%s", word, host, port)
	case isIPv6(body):
		return "", "", exit.Usagef("%q: missing port, want [%s]:PORT", word, body)
	case host == "*":
		return "", "", exit.Usagef("%q: every address is just :%s", word, port)
	}
	if err := checkRemote(word, host, port); err != nil {
		return "", "", err
	}
	if i := strings.IndexFunc(host, notOfHost); i >= 0 {
		r, _ := utf8.DecodeRuneInString(host[i:])
		return "", "", exit.Usagef("%q: the name of a host cannot hold %q, want HOST:PORT", word, r)
	}
	return host, port, nil
}

// splitBrackets takes [V6]:PORT apart.
func splitBrackets(word, body string) (host, port string, err error) {
	end := strings.LastIndexByte(body, ']')
	if end < 0 {
		return "", "", exit.Usagef("%q: missing ], want [V6]:PORT", word)
	}
	host, rest := body[1:end], body[end+1:]
	if !isIPv6(host) {
		return "", "", exit.Usagef("%q: %q is not an IPv6 address, want [V6]:PORT", word, host)
	}
	port, found := strings.CutPrefix(rest, ":")
	if !found {
		return "", "", exit.Usagef("%q: missing port, want [%s]:PORT", word, host)
	}
	return host, port, nil
}

func isIPv6(word string) bool {
	a, err := netip.ParseAddr(word)
	return err == nil && a.Is6() && !text.Unseen(word) // a zone may hold anything
}

// notOfHost finds what cannot be in the name of a host. It is generous: names
// with _ exist, and what a resolver makes of letters beyond ASCII is left to it.
func notOfHost(r rune) bool {
	return strings.ContainsRune(":/[]@?#\"' \\", r) || text.Unseen(string(r))
}

// parsePort checks a port number or the name of a service, which is looked up
// only when it is needed.
func parsePort(word, port string) (string, error) {
	if port == "" {
		return "", exit.Usagef("%q: missing port, want HOST:PORT", word)
	}
	if isNumber(port) {
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil {
			return "", exit.Usagef("%q: port %s is not between 1 and 65535", word, port)
		}
		return strconv.FormatUint(n, 10), nil
	}
	letter := func(r rune) bool { return r|0x20 >= 'a' && r|0x20 <= 'z' }
	service := func(r rune) bool { return letter(r) || r >= '0' && r <= '9' || strings.ContainsRune("-_.+", r) }
	if strings.IndexFunc(port, letter) < 0 || strings.IndexFunc(port, func(r rune) bool { return !service(r) }) >= 0 {
		return "", exit.Usagef("%q: %q is neither a port number nor the name of a service", word, port)
	}
	return port, nil
}
