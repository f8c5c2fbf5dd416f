package cmd

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
	"unicode/utf16"
	"unicode/utf8"
)

// Printer holds all rules of what is shown to people: everything goes to one
// writer (stderr), each line starts with zcp:, -q leaves errors, --json makes
// each line an object, nothing reaches a terminal raw, and no line ever shares
// its row with the progress line. It is safe for concurrent use; a message is
// one write.
type Printer struct {
	W       io.Writer
	Quiet   bool // errors only
	Verbose bool // more lines
	JSON    bool // objects instead of text

	mu     sync.Mutex
	asking sync.Mutex // not mu: whoever asks does not wait for a reader of W
	asked  func()     // called by Ask; nil: nobody is there to answer

	drawn int              // columns of the progress line on the screen now
	on    screen           // that screen
	now   func() time.Time // nil: time.Now
}

// setUp takes over what the user wants to see.
func (p *Printer) setUp(d Display) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.Quiet, p.Verbose, p.JSON = d.Quiet, d.Verbose, d.JSON
}

// Say tells something that anybody may want to know, unless -q.
func (p *Printer) Say(format string, args ...any) {
	p.Emit(&Note{Message: fmt.Sprintf(format, args...)})
}

// Detail tells something only with -v.
func (p *Printer) Detail(format string, args ...any) {
	p.Emit(&Note{Message: fmt.Sprintf(format, args...), To: ForVerbose})
}

// Error tells what went wrong, and what may help, on a second line. It is
// always told. A nil error, and one that was told already, is nothing.
func (p *Printer) Error(err error) {
	if usage, ok := errors.AsType[*UsageError](err); err == nil || ok && usage.Text == "" {
		return
	}
	p.Emit(&Trouble{Error: err.Error(), Hint: hintOf(err), Status: ExitStatus(err)})
}

// Ask asks for a status line, as SIGUSR1 does. It does not wait for it.
func (p *Printer) Ask() {
	p.asking.Lock()
	defer p.asking.Unlock()
	if p.asked != nil {
		p.asked()
	}
}

// onAsk has asked called by each Ask from now on, or nothing where it is nil. It must not
// wait for anybody.
func (p *Printer) onAsk(asked func()) {
	p.asking.Lock()
	defer p.asking.Unlock()
	p.asked = asked
}

// whenAsked calls answer after each Ask, until the function is called that it returns.
func (p *Printer) whenAsked(answer func()) (stop func()) {
	asked, quit, done := make(chan struct{}, 1), make(chan struct{}), make(chan struct{})
	p.onAsk(func() { mark(asked) })
	go func() {
		defer close(done)
		for {
			select {
			case <-asked:
				answer()
			case <-quit:
				return
			}
		}
	}()
	return func() {
		p.onAsk(nil)
		close(quit)
		<-done
	}
}

// mark puts a token into a channel, where there is room for it.
func mark(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default: // enough are there
	}
}

// Emit tells an event in the form that was asked for.
func (p *Printer) Emit(e Event) {
	p.mu.Lock()
	defer p.mu.Unlock()
	text, to := e.line()
	if p.Quiet && to != ForEveryone {
		return
	}
	if p.JSON {
		if _, note := e.(*Note); !note || to != ForVerbose || p.Verbose {
			p.put(p.object(e))
		}
		return
	}
	if text == "" || to == ForVerbose && !p.Verbose {
		return
	}
	line := "zcp: " + harmless(text) + "\n"
	if t, ok := e.(*Trouble); ok && t.Hint != "" {
		line += "zcp: " + harmless(t.Hint) + "\n"
	}
	p.put(line)
}

// object is e as one line of JSON.
func (p *Printer) object(e Event) string {
	now := time.Now
	if p.now != nil {
		now = p.now
	}
	e.stamp(now())
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(e); err != nil { // only a number that is none can do that
		return fmt.Sprintf("{\"event\":\"error\",\"error\":%q}\n", err)
	}
	return escapeUnseen(b.String())
}

// escapeUnseen escapes what package json leaves as it is but a terminal would
// act on: DEL, the C1 controls, bidi overrides and the like.
func escapeUnseen(object string) string {
	text := strings.TrimSuffix(object, "\n")
	if !hasUnseen(text) {
		return object
	}
	var b strings.Builder
	for _, r := range text {
		switch {
		case r == utf8.RuneError || !hasUnseen(string(r)):
			b.WriteRune(r)
		case r > 0xffff:
			high, low := utf16.EncodeRune(r)
			fmt.Fprintf(&b, `\u%04x\u%04x`, high, low)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	return b.String() + "\n"
}

// put writes a line on a row of its own. The caller holds the lock.
func (p *Printer) put(line string) {
	p.write(p.erase() + line)
}

// write is one write(2). That stderr cannot be written to is nothing that
// could be told to anybody.
func (p *Printer) write(text string) { _, _ = io.WriteString(p.W, text) }

// number writes a bare number for -n.
func (p *Printer) number(n int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.put(fmt.Sprintf("%d\n", n))
}

// draw shows line as the progress line in place of the one before, in one
// write. On a terminal the cursor rests at its start: so does the terminal's
// idea of the row when the window becomes narrower and the line is folded, and
// the next frame erases all of it.
func (p *Printer) draw(line string, on screen) {
	p.mu.Lock()
	defer p.mu.Unlock()
	frame := harmless(line)
	width := utf8.RuneCountInString(frame)
	if on.erases() {
		frame += "\x1b[J\r"
	} else {
		frame = "\r" + frame + strings.Repeat(" ", max(0, p.drawn-width))
	}
	p.drawn, p.on = width, on
	p.write(frame)
}

// clear takes the progress line off the screen.
func (p *Printer) clear() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if erase := p.erase(); erase != "" {
		p.write(erase)
	}
}

// forget leaves the progress line where it is: somebody else has the screen
// now, or has written over it.
func (p *Printer) forget() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.drawn = 0
}

// erase returns what takes the progress line off the screen and leaves the
// cursor at the start of an empty row; the caller holds the lock and writes it.
func (p *Printer) erase() string {
	width := p.drawn
	p.drawn = 0
	switch {
	case width == 0 || !p.on.drawable():
		return ""
	case p.on.erases():
		return "\r\x1b[J"
	}
	return "\r" + strings.Repeat(" ", width) + "\r"
}
