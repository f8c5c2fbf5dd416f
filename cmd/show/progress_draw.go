package show

import (
	"fmt"
	"strings"
	"time"
	"unicode/utf8"
)

// frame draws the line, if it may.
func (p *Progress) frame(f Frame) {
	switch {
	case !p.screen.drawable():
		p.Printer.forget()
	case f.Elapsed >= max(firstFrame, p.Printer.Delay) && p.worthALine(f):
		p.paint(f.Render(p.screen.columns()))
	case p.trying:
		p.Printer.clear()
	}
	p.trying = false
}

// worthALine tells whether there is something to show. Before the first byte a prompt of the program
// that is to send it may be on the screen; a peer that sends nothing has none here.
func (p *Progress) worthALine(f Frame) bool {
	return p.Meter.last.Bytes > 0 || p.phase != Moving || p.Meter.FromNet && f.Remark.Long != ""
}

// paint shows a line.
func (p *Progress) paint(line string) {
	if _, ok := p.screen.(noTerminal); ok {
		p.Printer.plain(line)
		return
	}
	p.Printer.draw(line, p.screen)
}

// attempt shows that a connection is being made, where that takes longer than usual.
func (p *Progress) attempt() {
	now := time.Now()
	if p.mode != showLine || p.Attempt == nil || p.phase != Connecting || now.Sub(p.begun) < max(firstAttempt, p.Printer.Delay) || !p.screen.drawable() {
		return
	}
	if a, ok := p.Attempt(); ok {
		p.trying = true
		f := Frame{Name: p.Printer.Name}
		columns := p.screen.columns()
		name := f.label(columns / 3)
		p.paint(name + a.Render(columns-utf8.RuneCountInString(name), now))
	}
}

// takeRow finds a row for a line beside those of other programs of the same pipeline.
func (p *Progress) takeRow(t terminal) {
	row, release, ok := claimRow(t.fd)
	if ok {
		p.release = release
		p.Printer.outlet.takeRow(row, t)
	}
}

// status says one line at once, also with -q.
func (p *Progress) status() {
	f := p.update(time.Now())
	switch {
	case !p.started && p.phase == Opening:
		p.Printer.Emit(&Note{Message: "waiting for the destination to be opened", To: ForEveryone})
	case !p.started:
		p.Printer.Emit(&Note{Message: p.connecting(), To: ForEveryone})
	case p.Printer.JSON:
		p.Printer.Emit(f.event(p.Meter.last, ForEveryone))
	default:
		p.Printer.Emit(&Note{Message: f.String(), To: ForEveryone})
	}
	if p.Rows == nil {
		return
	}
	for _, row := range p.Rows() {
		p.Printer.Emit(row)
	}
}

// connecting is the status while there is no connection.
func (p *Progress) connecting() string {
	if p.Attempt != nil {
		if a, ok := p.Attempt(); ok {
			return a.String(time.Now())
		}
	}
	return "waiting for a connection"
}

// number is what -n shows: percent, or bytes where the size is unknown.
func (f Frame) number() int64 {
	if f.Total < 0 {
		return f.Done
	}
	return int64(f.Percent())
}

// event is the frame for --json.
func (f Frame) event(s Snapshot, to Audience) *Progressed {
	return &Progressed{Counts: countsOf(s, f.Elapsed, f.Rate), Size: f.Total, Wait: f.Remark.Long, to: to}
}

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

// An Attempt is a connection that is being made.
type Attempt struct {
	Target string    // the operand
	Tries  int       // that have failed
	Reason string    // of the last of them: "refused"
	Until  time.Time // when it is given up; zero: the kernel says
}

// String is the attempt in words.
func (a Attempt) String(now time.Time) string { return strings.Join(a.parts(now), ", ") }

// Render writes it for a terminal of that many columns, as much as fits.
func (a Attempt) Render(columns int, now time.Time) string {
	for parts := a.parts(now); len(parts) > 0; parts = parts[:len(parts)-1] {
		if line := strings.Join(parts, ", "); len(line) < columns {
			return line
		}
	}
	return ""
}

func (a Attempt) parts(now time.Time) []string {
	parts := []string{"connecting to " + a.Target}
	if a.Tries > 0 {
		parts = append(parts, a.Reason+" "+times(a.Tries))
	}
	if !a.Until.IsZero() {
		parts = append(parts, seconds(max(0, a.Until.Sub(now)+time.Second-1))+" left")
	}
	return parts
}

// times writes how often something was so.
func times(n int) string {
	if n == 1 {
		return "once"
	}
	return fmt.Sprintf("%d times", n)
}
