package cmd

import (
	"os"
	"os/signal"

	"golang.org/x/sys/unix"
	"golang.org/x/term"
)

// A screen is where the progress line is drawn: standard error.
type screen struct {
	fd       int
	terminal bool
	ansi     bool // it understands how to erase
}

// newScreen returns nil where no line is to be drawn: standard error is no terminal, or
// hide says that the data goes to one, and force does not insist.
func newScreen(force, hide bool) *screen {
	fd := int(os.Stderr.Fd())
	s := &screen{fd: fd, terminal: term.IsTerminal(fd)}
	s.ansi = s.terminal && os.Getenv("TERM") != "dumb"
	if (!s.terminal || hide) && !force {
		return nil
	}
	return s
}

// columns asks how wide the screen is now: windows are resized at any time.
func (s *screen) columns() int {
	if w, _, err := term.GetSize(s.fd); err == nil && w > 0 {
		return w
	}
	return 80
}

// ours tells whether we are in the terminal's foreground. A background job that draws is
// noise, and with `stty tostop` it would be stopped.
func (s *screen) ours() bool {
	if !s.terminal {
		return true
	}
	group, ok := foregroundGroup(s.fd)
	return !ok || group == unix.Getpgrp()
}

// foregroundGroup returns the process group that a terminal listens to; ok is false
// where it is not our controlling terminal (ENOTTY), which stops nobody.
func foregroundGroup(fd int) (group int, ok bool) {
	group, err := unix.IoctlGetInt(fd, unix.TIOCGPGRP)
	return group, err == nil
}

func notifyStatus(c chan<- os.Signal)    { signal.Notify(c, unix.SIGUSR1) }
func notifyContinued(c chan<- os.Signal) { signal.Notify(c, unix.SIGCONT) }

// onTerminal tells whether a destination shows its bytes on a terminal.
func (o Operand) onTerminal() bool { return o.Kind == FD && term.IsTerminal(o.FD) }
