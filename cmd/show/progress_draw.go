package show

import (
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
