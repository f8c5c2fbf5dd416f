package conf

import (
	"math"
	"net"
	"strconv"
	"strings"

	"github.com/zcp-go/zcp/cmd/exit"
	"github.com/zcp-go/zcp/cmd/text"
)

// Kind says what an operand stands for.
type Kind uint8

const (
	File  Kind = iota + 1 // Path
	FD                    // FD, an inherited descriptor
	TCP                   // Host, Port
	Unix                  // Path, or Name in the abstract namespace
	SD                    // a socket from systemd, Name where one was given
	Stdio                 // stdin and stdout as one two-way end; relay only
	Zero                  // a source of zeros that never ends
	Null                  // a destination that keeps nothing
)

// Operand is what one word of the command line stands for. The place of the
// word decides how it is read, never what happens to exist on disk.
type Operand struct {
	Kind    Kind
	Listen  bool   // a network end that waits for clients; for FD and SD the socket itself knows
	Path    string // File, Unix
	Dir     bool   // File: the path ends in a slash, so it is a directory
	FD      int    // FD
	Network string // "tcp" or "unix", as package net calls it
	Host    string // TCP: a name or an address without brackets; "" is every address
	Port    string // TCP: a number or the name of a service; of a range the first
	Ports   int    // TCP: how many ports a range has; 0: it is not a range
	Name    string // Unix: the abstract name, without its @; SD: the name in LISTEN_FDNAMES
	Text    string // what was typed, for messages; show it with [text.Quote]
}

// Called is what the operand is called: what was typed, but for - as one end of a transfer.
func (o Operand) Called() string {
	switch {
	case o.Text != "-" || o.Kind != FD:
		return o.Text
	case o.FD == 0:
		return "stdin"
	}
	return "stdout"
}

// String is what the operand is called, fit for a terminal.
func (o Operand) String() string { return text.Quote(o.Called()) }

// Nth returns one port of a range, counted from 0. What is not a range is returned as it is.
func (o Operand) Nth(i int) Operand {
	if o.Ports == 0 {
		return o
	}
	first, _ := strconv.Atoi(o.Port) // parseRange has read it
	o.Port, o.Ports = strconv.Itoa(first+i), 0
	o.Text = net.JoinHostPort(o.Host, o.Port)
	if o.Host == "" {
		o.Text = ":" + o.Port
	}
	return o
}

// Abstract tells a Unix socket of the abstract namespace from one with a path.
func (o Operand) Abstract() bool { return o.Kind == Unix && o.Path == "" }

// descriptorPaths are the spellings of a descriptor that end in its number.
var descriptorPaths = []string{"fd:", "/dev/fd/", "/proc/self/fd/"}

// parseSource reads SRC: a path, - for stdin, fd:N, zero:.
func parseSource(word string) (Operand, error) {
	if word == "null:" {
		return Operand{}, exit.Usagef("null: is a destination, not a source")
	}
	if word == "zero:" {
		return Operand{Kind: Zero, Text: word}, nil
	}
	return parseFile(word, 0)
}

// parseDest reads DST: a path, - for stdout, fd:N, null:.
func parseDest(word string) (Operand, error) {
	if word == "zero:" {
		return Operand{}, exit.Usagef("zero: is a source, not a destination")
	}
	if word == "null:" {
		return Operand{Kind: Null, Text: word}, nil
	}
	return parseFile(word, 1)
}

// parseFile reads a path or a descriptor; std is what - stands for.
func parseFile(word string, std int) (Operand, error) {
	if word == "" {
		return Operand{}, exit.Usagef("a file name cannot be empty")
	}
	if strings.IndexByte(word, 0) >= 0 {
		return Operand{}, exit.Usagef("%s: a name cannot hold a zero byte", text.Quote(word))
	}
	if word == "-" {
		return Operand{Kind: FD, FD: std, Text: word}, nil
	}
	if o, ok, err := parseFD(word); ok || err != nil {
		return o, err
	}
	return Operand{Kind: File, Path: word, Dir: strings.HasSuffix(word, "/"), Text: word}, nil
}

// parseFD reads fd:N and the paths by which the same descriptor is known. ok is
// false where text is something else.
func parseFD(word string) (o Operand, ok bool, err error) {
	for i, std := range []string{"/dev/stdin", "/dev/stdout", "/dev/stderr"} {
		if word == std {
			return Operand{Kind: FD, FD: i, Text: word}, true, nil
		}
	}
	for _, prefix := range descriptorPaths {
		number, found := strings.CutPrefix(word, prefix)
		if !found {
			continue
		}
		n, err := strconv.ParseUint(number, 10, 31)
		if err == nil {
			return Operand{Kind: FD, FD: int(n), Text: word}, true, nil
		}
		if prefix == "fd:" {
			return Operand{}, false, exit.Usagef("%s: want fd:N with a number from 0 to %d; a file of that name is %s",
				text.Quote(word), math.MaxInt32, text.Quote("./"+word))
		}
	}
	return Operand{}, false, nil
}
