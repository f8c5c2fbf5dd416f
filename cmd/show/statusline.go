package show

import (
	"os"
	"os/signal"

	"golang.org/x/sys/unix"
)

// A StatusLine is one line that is redrawn in place while the terminal is ours. A nil
// StatusLine draws nothing.
type StatusLine struct {
	printer  *Printer
	screen   screen
	stopping chan os.Signal
}

// StatusLine returns the line of p's terminal, nil where there is none or none is wanted.
func (p *Printer) StatusLine() *StatusLine {
	t, ok := terminalOf(p.W, os.LookupEnv)
	if !ok || t.dumb || p.Quiet || p.JSON {
		return nil
	}
	l := &StatusLine{printer: p, screen: t, stopping: make(chan os.Signal, 1)}
	if !signal.Ignored(unix.SIGTSTP) {
		signal.Notify(l.stopping, unix.SIGTSTP)
	}
	return l
}

// Stopping delivers SIGTSTP, which is to be answered by Suspend.
func (l *StatusLine) Stopping() <-chan os.Signal {
	if l == nil {
		return nil
	}
	return l.stopping
}

// Draw shows what render makes of a width in columns.
func (l *StatusLine) Draw(render func(columns int) string) {
	text := render(l.screen.columns())
	if !l.screen.drawable() {
		l.printer.forget()
		return
	}
	l.printer.draw(text, l.screen)
}

// Suspend takes the line away and stops the process until it is continued.
func (l *StatusLine) Suspend() {
	l.printer.clear()
	l.printer.Flush(clearGrace)
	suspend()
}

// Close takes the line away.
func (l *StatusLine) Close() {
	if l != nil {
		signal.Stop(l.stopping)
		l.printer.clear()
	}
}
