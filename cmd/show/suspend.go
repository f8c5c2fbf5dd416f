package show

import (
	"time"
)

// suspend takes the line off the screen, and stops the process.
func (p *Progress) suspend() {
	p.Printer.clear()
	p.Printer.Flush(clearGrace)
	p.update(time.Now())
	suspend()
	p.awaitContinued() // or it would be taken for another stop
	p.skip(time.Since(p.last))
}

// awaitContinued gives SIGCONT a moment to come.
func (p *Progress) awaitContinued() bool {
	if p.continued == nil {
		return false
	}
	select {
	case <-p.continued:
		return true
	case <-time.After(continueGrace):
		return false
	}
}

// resume follows a SIGCONT, which any process may send. When the process was stopped, if it
// was, is not known: it ran at the last look, and not when the next one was due.
func (p *Progress) resume() {
	gap := time.Since(p.last)
	if gap > p.beat {
		p.skip(gap - p.beat/2)
		return
	}
	p.Printer.forget()
}

// skip takes the time in which the process was stopped out of all clocks. The
// shell has used the screen meanwhile.
func (p *Progress) skip(gap time.Duration) {
	p.last = time.Now()
	p.stopped += gap
	if p.started {
		p.Meter.Skip(gap)
	}
	p.Printer.forget()
}

// Stopped is how long the process was stopped (SIGSTOP, SIGTSTP) meanwhile. It
// may be called after Stop.
func (p *Progress) Stopped() time.Duration { return p.stopped }
