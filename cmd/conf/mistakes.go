package conf

import (
	"slices"
	"strings"

	"github.com/zcp-go/zcp/cmd/exit"
	"github.com/zcp-go/zcp/cmd/text"
)

// This file knows the words of nc, pv, socat and others, so that a message can give the
// word that would have been right.

// The maps are made where they are needed: one of a package is made at every start.

// commandsByMeaning are words for what a command does. Their letters lead nowhere.
func commandsByMeaning() map[string]string {
	return map[string]string{
		"receive": "recv", "get": "recv", "fetch": "recv", "download": "recv", "listen": "recv",
		"put": "send", "push": "send", "upload": "send", "serve": "send",
		"pipe": "cat", "copy": "cat", "cp": "cat", "pv": "cat",
		"check": "probe", "ping": "probe", "health": "probe", "wait": "probe",
		"proxy": "relay", "forward": "relay", "tunnel": "relay",
	}
}

// flagsByMeaning are other programs' long names for an option of zcp.
func flagsByMeaning() map[string]string {
	return map[string]string{
		"limit": "rate-limit", "bwlimit": "rate-limit", "bandwidth": "rate-limit", "max-rate": "rate-limit",
		"buffer": "buffer-size", "bufsize": "buffer-size", "bs": "buffer-size",
		"out": "output", "output-file": "output", "source": "bind", "source-address": "bind",
		"max-connections": "max-conns", "max-children": "max-conns", "tries": "retry-for", "retries": "retry-for",
		"fork": "keep-open",
	}
}

// A foreign is an option that zcp does not have, and what to do instead.
type foreign struct {
	names []string // letters and long names
	in    command  // the commands where it would mean that; [every] is also without one
	hint  string
}

// foreigners are looked through in order: pv's -p is not nc's.
var foreigners = []foreign{
	{[]string{"p", "e", "t", "r", "b"}, cat, "-p, -e, -t, -r, -b of pv: the line always shows them"},
	{[]string{"W"}, cat, "-W of pv: the line always waits for the first byte"},
	{[]string{"p", "port"}, every, "the port stands in the operand: host:9000 to connect, :9000 to listen"},
	{[]string{"u", "udp"}, every, "zcp has no UDP: nc -u, socat UDP:"},
	{[]string{"U"}, every, "a Unix socket is unix:PATH"},
	{[]string{"z"}, every, "to see if a port is open: zcp probe HOST:PORT"},
	{[]string{"X", "proxy"}, every, "zcp does not speak to a proxy: nc -x, ncat --proxy"},
	{[]string{"T", "tos"}, every, "-T of nc: --dscp, for instance --dscp cs1"},
	{[]string{"e", "c", "exec", "sh-exec"}, every, "zcp does not start programs: ncat -e, socat EXEC:"},
	{[]string{"r", "recursive"}, every, "a directory goes as one tar stream: zcp send DIR/ host:9000"},
	{[]string{"t", "timeout"}, every, "--wait limits connecting, --idle limits silence"},
	{[]string{"ssl", "tls"}, every, "zcp does not encrypt: ncat --ssl, socat OPENSSL:, ssh"},
	{[]string{"progress"}, every, "the line is shown on a terminal without being asked for, elsewhere with --force"},
	{[]string{"compress", "gzip"}, every, "through a pipe: gzip -c FILE | zcp send - host:9000"},
	{[]string{"count"}, oneWay, "to stop after so many bytes: --stop-at-size --size SIZE"},
	{[]string{"direct", "direct-io"}, every, "zcp goes through the page cache, --sync waits for the disk: dd oflag=direct"},
	{[]string{"skip-errors"}, every, "to read a disk with errors: ddrescue"},
	{[]string{"line-mode", "lines"}, every, "zcp counts bytes, not lines: pv -l"},
}

// misplaced are options of zcp that some command lacks, and what was meant there.
var misplaced = []foreign{
	{[]string{"N"}, cat, "-N NAME of pv: zcp cat --name NAME"},
	{[]string{"listen"}, cat, "-l of pv: zcp counts bytes, not lines"},
	{[]string{"verify"}, cat, "cat has no other end: --hash prints the digest, --expect compares it"},
	{[]string{"output"}, recv, "recv takes the file as its second operand: zcp recv :9000 FILE"},
	{[]string{"output"}, send, "send writes to its last operand: zcp send FILE host:9000"},
	{[]string{"listen"}, relay, "relay always listens on its first operand: zcp relay :80 app:8080"},
	{[]string{"keep-open"}, relay, "relay serves every client: zcp relay :80 app:8080"},
}

// meant returns the hint for the option name in the command, "" where there is none.
func meant(table []foreign, name string, in command) string {
	for _, f := range table {
		if in != 0 && f.in&in == 0 || in == 0 && f.in != every {
			continue
		}
		if slices.Contains(f.names, name) {
			return f.hint
		}
	}
	return ""
}

// unknownCommand says what the first word may have meant. words are those behind it.
func unknownCommand(word string, words []string) *exit.Usage {
	near := commandsByMeaning()[word]
	if near == "" {
		near = nearest(word, commandNames)
	}
	if near != "" {
		return exit.Usagef("unknown command %q, did you mean %s?", word, near)
	}
	e := exit.Usagef("unknown command %q (%s)", word, strings.Join(commandNames, ", "))
	switch {
	case isNumber(word): // nc -l 9000
		return e.WithHint("to receive: zcp recv :%s", word)
	case len(words) == 1 && isNumber(words[0]) && isHost(word): // nc host 9000
		return e.WithHint("to send stdin: zcp send - %s:%s", text.Quote(word), words[0])
	case len(words) == 0 && isNet(word) && strings.HasPrefix(word, ":"):
		return e.WithHint("to receive: zcp recv %s", text.Quote(word))
	case len(words) == 0 && isNet(word):
		return e.WithHint("to send stdin: zcp send - %s", text.Quote(word))
	case len(words) == 1 && isNet(words[0]): // big.iso host:9000
		return e.WithHint("to send it: zcp send %s %s", text.Quote(word), text.Quote(words[0]))
	}
	return e
}

// isNumber finds a port that stands alone, as nc wants it.
func isNumber(word string) bool {
	return word != "" && strings.Trim(word, "0123456789") == ""
}

// isHost finds a word that can be the name of a host without a port.
func isHost(word string) bool {
	return word != "" && word != "-" && !isNumber(word) && strings.IndexFunc(word, notOfHost) < 0
}

func isNet(word string) bool {
	_, err := parseNet(word, false)
	return err == nil
}
