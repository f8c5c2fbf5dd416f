//go:build unix

package show

import (
	"errors"
	"io"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
	"golang.org/x/term"
)

// screen is where a progress line may be drawn.
type screen interface {
	columns() int   // how wide it is now
	drawable() bool // the terminal is ours at this moment
	erases() bool   // it knows the sequences of ECMA-48
}

// defaultColumns holds where nothing is known of a width.
const defaultColumns = 80

// terminal is a screen on a terminal.
type terminal struct {
	fd   int
	dumb bool // TERM=dumb: a terminal that only prints
}

// terminalOf returns the terminal that w writes to, if it is one.
func terminalOf(w io.Writer, lookup func(string) (string, bool)) (t terminal, ok bool) {
	f, ok := w.(*os.File)
	if !ok {
		return t, false
	}
	if t.fd, ok = descriptor(f); !ok || !term.IsTerminal(t.fd) {
		return t, false
	}
	name, _ := lookup("TERM")
	t.dumb = name == "dumb" || name == ""
	return t, true
}

// OnTerminal tells whether lines of text are read on a terminal.
func (p *Printer) OnTerminal() bool {
	_, ok := terminalOf(p.W, os.LookupEnv)
	return ok && !p.JSON
}

// descriptor returns the number of f and leaves its mode alone: os.File.Fd
// would make it blocking, and with it that of every process that shares it.
func descriptor(f *os.File) (fd int, ok bool) {
	raw, err := f.SyscallConn()
	if err != nil {
		return 0, false
	}
	err = raw.Control(func(n uintptr) { fd = int(n) })
	return fd, err == nil
}

// columns asks each time, so that a resize needs no signal.
func (t terminal) columns() int {
	width, _, err := term.GetSize(t.fd)
	if err != nil || width <= 0 {
		return defaultColumns
	}
	return width
}

// drawable is false in the background: the shell, or another job, has the
// terminal. One that is not our controlling terminal has no idea of jobs
// (ENOTTY, tcgetpgrp(3)) and may be drawn on.
func (t terminal) drawable() bool {
	group, err := unix.IoctlGetInt(t.fd, unix.TIOCGPGRP)
	if err != nil {
		return errors.Is(err, unix.ENOTTY)
	}
	return group == unix.Getpgrp()
}

func (t terminal) erases() bool { return !t.dumb }

// noTerminal is a file or a pipe that the line is forced on.
type noTerminal struct{ width int }

// noTerminalOf takes the width from COLUMNS, where that says one.
func noTerminalOf(lookup func(string) (string, bool)) noTerminal {
	word, _ := lookup("COLUMNS")
	if n, err := strconv.Atoi(word); err == nil && n > 0 {
		return noTerminal{n}
	}
	return noTerminal{defaultColumns}
}

func (s noTerminal) columns() int { return s.width }
func (noTerminal) drawable() bool { return true }
func (noTerminal) erases() bool   { return false }
