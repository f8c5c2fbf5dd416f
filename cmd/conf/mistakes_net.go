package conf

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/zcp-go/zcp/cmd/exit"
	"github.com/zcp-go/zcp/cmd/text"
)

// noUDP and noTLS are what zcp cannot do, and who can.
const (
	noUDP = "zcp has no UDP (nc -u, socat)"
	noTLS = "zcp does not encrypt (ncat --ssl, socat OPENSSL:, ssh)"
)

// schemes are what other programs write before a colon where zcp wants a host.
func schemes() map[string]string {
	return map[string]string{
		"udp": noUDP, "udp4": noUDP, "udp6": noUDP, "udp-listen": noUDP, "udp4-listen": noUDP, "udp6-listen": noUDP,
		"tls": noTLS, "ssl": noTLS, "openssl": noTLS, "openssl-listen": noTLS,
		"exec": "zcp does not start programs (socat)", "system": "zcp does not start programs (socat)",
	}
}

// socatWords are socat's names for the ends that zcp has, with what zcp writes before the
// rest.
func socatWords() map[string]string {
	return map[string]string{
		"TCP": "", "TCP4": "", "TCP6": "", "TCP-CONNECT": "", "TCP4-CONNECT": "", "TCP6-CONNECT": "",
		"TCP-LISTEN": ":", "TCP4-LISTEN": ":", "TCP6-LISTEN": ":", "TCP-L": ":", "TCP4-L": ":", "TCP6-L": ":",
		"UNIX": "unix:", "UNIX-CONNECT": "unix:", "UNIX-CLIENT": "unix:", "UNIX-LISTEN": "unix:", "UNIX-L": "unix:",
		"ABSTRACT-CONNECT": "unix:@", "ABSTRACT-LISTEN": "unix:@",
	}
}

// checkScheme refuses a network end that is written as for another program. A host of such
// a name is still reached by tcp:udp:9000.
func checkScheme(word string) error {
	scheme, rest, found := strings.Cut(word, ":")
	if !found || strings.HasPrefix(rest, "//") {
		return nil
	}
	if no, ok := schemes()[strings.ToLower(scheme)]; ok {
		return exit.Usagef("%q: %s; a host of that name is tcp:%s", word, no, text.Quote(word))
	}
	prefix, ok := socatWords()[strings.ToUpper(scheme)]
	if !ok || scheme == "tcp" || scheme == "unix" || isNumber(rest) && prefix == "" {
		return nil
	}
	rest, _, _ = strings.Cut(rest, ",")
	if rest == "" {
		return nil
	}
	return exit.Usagef("%q: that is socat's way to write %s", word, text.Quote(prefix+rest))
}

// missingPort is the error for a word without a colon.
func missingPort(word, body string) error {
	switch {
	case isNumber(body) && body != word:
		return exit.Usagef("%q: missing host or colon, want HOST:%s or :%s", word, body, body)
	case isNumber(body):
		return exit.Usagef("%q: a port alone is written :%s", word, body)
	case strings.ContainsRune(body, '/'):
		return exit.Usagef("%q: missing port, want HOST:PORT; a Unix socket is unix:%s", word, text.Quote(body))
	}
	return exit.Usagef("%q: missing port, want HOST:PORT", word)
}

// checkRemote refuses the HOST:PATH of scp and the USER@HOST of ssh. A path that starts
// with neither / nor ~ nor . is told from a service by the @ alone.
func checkRemote(word, host, port string) error {
	_, name, user := strings.Cut(host, "@")
	if !user {
		name = host
	}
	_, bad := parsePort(word, port)
	if !isHost(name) || port == "" {
		return nil
	}
	switch {
	case strings.IndexByte("/~.", port[0]) >= 0, user && bad != nil:
		return exit.Usagef("%q: zcp has no remote paths, want HOST:PORT", word).WithHint("run zcp at both ends: there zcp recv :9000 FILE, here zcp send FILE %s:9000", name)
	case user:
		return exit.Usagef("%q: zcp does not log in, want %s:%s", word, name, port)
	}
	return nil
}

// sendLine gives the line of send that was likely meant where its last word, the network
// end, is wrong.
func sendLine(err error, words []string) error {
	e, ok := err.(*exit.Usage)
	if !ok || e.Hint != "" {
		return err
	}
	files, last := words[:len(words)-1], words[len(words)-1]
	for i, file := range files {
		if isNumber(last) {
			break
		}
		if end := ":" + file; isNet(file) || isNumber(file) && isNet(end) {
			if isNet(file) {
				end = file
			}
			rest := slices.Concat(files[:i], files[i+1:], []string{last, end})
			return e.WithHint("the network end comes last: zcp send %s", quoted(rest))
		}
	}
	before := len(files) - 1
	switch {
	case isNumber(last) && before > 0 && isHost(files[before]):
		return e.WithHint("host and port go together: zcp send %s %s:%s", quoted(files[:before]), text.Quote(files[before]), last)
	case isNumber(last):
		return e.WithHint("to serve it: zcp send %s :%s; to connect: zcp send %s HOST:%s", quoted(files), last, quoted(files), last)
	case isHost(last):
		return e.WithHint("for example: zcp send %s %s:9000", quoted(files), text.Quote(last))
	}
	return err
}

// recvLine is sendLine for recv, whose network end comes first.
func recvLine(err error, words []string) error {
	e, ok := err.(*exit.Usage)
	if !ok || e.Hint != "" {
		return err
	}
	first, files := words[0], words[1:]
	line := func(end string, files []string) string { return quoted(append([]string{"zcp", "recv", end}, files...)) }
	switch {
	case isNumber(first):
		return e.WithHint("%s", line(":"+first, files))
	case len(files) > 0 && isHost(first) && isNumber(files[0]):
		return e.WithHint("host and port go together: %s", line(first+":"+files[0], files[1:]))
	case len(files) > 0 && isNet(files[0]):
		return e.WithHint("the network end comes first: %s", line(files[0], append([]string{first}, files[1:]...)))
	case isHost(first):
		return e.WithHint("for example: %s", line(first+":9000", files))
	}
	return err
}

// relayLine is sendLine for the two ends of relay.
func relayLine(err error, words []string) error {
	e, ok := err.(*exit.Usage)
	if !ok || len(words) < 2 {
		return err
	}
	right := slices.Clone(words)
	if isNumber(right[0]) {
		right[0] = ":" + right[0]
	}
	if len(right) == 3 && isHost(right[1]) && isNumber(right[2]) {
		right = []string{right[0], right[1] + ":" + right[2]}
	}
	if isNumber(right[1]) {
		right[1] = "localhost:" + right[1]
	}
	if len(right) < 2 || len(right)%2 != 0 || slices.Equal(right, words) {
		return err
	}
	return e.WithHint("zcp relay %s", quoted(right))
}

// checkLoop refuses a relay that would connect to itself, and so to itself again for each
// connection that makes, until no descriptor is left.
func checkLoop(listen, target Operand) error {
	if listen.Kind != TCP || target.Kind != TCP || listen.Port != target.Port || listen.Port == "0" || (listen.Ports > 1) != (target.Ports > 1) {
		return nil
	}
	addr, err := netip.ParseAddr(target.Host)
	loopback := target.Host == "localhost" || err == nil && addr.IsLoopback()
	all := listen.Host == "" || listen.Host == "::" || listen.Host == "0.0.0.0" && (err != nil || addr.Is4())
	if listen.Host == target.Host || all && loopback {
		return exit.Usagef("%s is where the relay itself listens (%s): each connection would make another", target, listen)
	}
	return nil
}

func quoted(words []string) string {
	shown := make([]string, len(words))
	for i, word := range words {
		shown[i] = text.Quote(word)
	}
	return strings.Join(shown, " ")
}
