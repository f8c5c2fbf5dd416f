package cmd

import (
	"math"
	"strconv"
	"strings"
)

// Kind says what an operand stands for.
type Kind uint8

const (
	File  Kind = iota + 1 // Path
	FD                    // FD, a descriptor the process was born with
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
	Listen  bool   // a network end that waits for somebody; for FD and SD the socket itself knows
	Path    string // File, Unix
	FD      int    // FD
	Network string // "tcp" or "unix", as package net calls it
	Host    string // TCP: a name or an address without brackets; "" is every address
	Port    string // TCP: a number or the name of a service
	Name    string // Unix: the abstract name, without its @; SD: the name in LISTEN_FDNAMES
	Text    string // what was typed, for messages; show it with [Quote]
}

// String is the operand in the user's words, fit for a terminal.
func (o Operand) String() string { return Quote(o.Text) }

// Abstract tells a Unix socket of the abstract namespace from one with a path.
func (o Operand) Abstract() bool { return o.Kind == Unix && o.Path == "" }

// descriptorPaths are the spellings of a descriptor that end in its number.
var descriptorPaths = []string{"fd:", "/dev/fd/", "/proc/self/fd/"}

// ParseSource reads SRC: a path, - for stdin, fd:N, zero:.
func ParseSource(text string) (Operand, error) {
	if text == "null:" {
		return Operand{}, usagef("null: is a destination, not a source")
	}
	if text == "zero:" {
		return Operand{Kind: Zero, Text: text}, nil
	}
	return parseFile(text, 0)
}

// ParseDest reads DST: a path, - for stdout, fd:N, null:.
func ParseDest(text string) (Operand, error) {
	if text == "zero:" {
		return Operand{}, usagef("zero: is a source, not a destination")
	}
	if text == "null:" {
		return Operand{Kind: Null, Text: text}, nil
	}
	return parseFile(text, 1)
}

// parseFile reads a path or a descriptor; std is what - stands for.
func parseFile(text string, std int) (Operand, error) {
	if text == "" {
		return Operand{}, usagef("an empty word names no file")
	}
	if strings.IndexByte(text, 0) >= 0 {
		return Operand{}, usagef("%s: a name cannot hold a zero byte", Quote(text))
	}
	if text == "-" {
		return Operand{Kind: FD, FD: std, Text: text}, nil
	}
	if o, ok, err := parseFD(text); ok || err != nil {
		return o, err
	}
	return Operand{Kind: File, Path: text, Text: text}, nil
}

// parseFD reads fd:N and the paths by which the same descriptor is known. ok is
// false where text is something else.
func parseFD(text string) (o Operand, ok bool, err error) {
	for i, std := range []string{"/dev/stdin", "/dev/stdout", "/dev/stderr"} {
		if text == std {
			return Operand{Kind: FD, FD: i, Text: text}, true, nil
		}
	}
	for _, prefix := range descriptorPaths {
		number, found := strings.CutPrefix(text, prefix)
		if !found {
			continue
		}
		n, err := strconv.ParseUint(number, 10, 31)
		if err == nil {
			return Operand{Kind: FD, FD: int(n), Text: text}, true, nil
		}
		if prefix == "fd:" {
			return Operand{}, false, usagef("%s: want fd:N with a number from 0 to %d; a file of that name is ./%s",
				Quote(text), math.MaxInt32, Quote(text))
		}
	}
	return Operand{}, false, nil
}
