package show

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/zcp-go/zcp/cmd/exit"
	"github.com/zcp-go/zcp/cmd/text"
)

// Printer holds all rules of what is shown to people: everything goes to one
// writer (stderr), each line starts with zcp:, -q leaves errors, --json makes
// each line an object, nothing reaches a terminal raw, and no line ever shares
// its row with the progress line. It is safe for concurrent use; a message is
// one write. No call waits for the reader of W.
type Printer struct {
	W       io.Writer
	Options      // set before anything runs beside the caller
	Journal bool // W is the systemd journal: lines carry their level

	mu     sync.Mutex // keeps the times of events in order
	asking sync.Mutex // not mu: asking does not wait
	asked  func()     // called by Ask; nil: nothing answers
	outlet outlet

	now func() time.Time // nil: time.Now
}

// Say prints a remark, unless -q.
func (p *Printer) Say(format string, args ...any) {
	p.Emit(&Note{Message: fmt.Sprintf(format, args...)})
}

// Detail prints a remark with -v.
func (p *Printer) Detail(format string, args ...any) {
	p.Emit(&Note{Message: fmt.Sprintf(format, args...), To: ForVerbose})
}

// Explain prints what --explain asks for; when is "plan" or "ran".
func (p *Printer) Explain(when, format string, args ...any) {
	if p.Options.Explain {
		p.Emit(&Explained{When: when, Text: fmt.Sprintf(format, args...)})
	}
}

// Error prints what went wrong, also with -q, and on a second line what may help. A nil
// error prints nothing.
func (p *Printer) Error(err error) {
	if err == nil {
		return
	}
	p.Emit(&Trouble{Error: err.Error(), Hint: exit.Hint(err), Status: exit.Status(err)})
}

// Ask asks for a status line, as SIGUSR1 does. It does not wait for it.
func (p *Printer) Ask() {
	p.asking.Lock()
	defer p.asking.Unlock()
	if p.asked != nil {
		p.asked()
	}
}

// OnAsk sets what each Ask calls from now on; nil: nothing. It must not wait.
func (p *Printer) OnAsk(asked func()) {
	p.asking.Lock()
	defer p.asking.Unlock()
	p.asked = asked
}

// WhenAsked runs answer on a goroutine after each Ask, until stop is called.
func (p *Printer) WhenAsked(answer func()) (stop func()) {
	asked, quit, done := make(chan struct{}, 1), make(chan struct{}), make(chan struct{})
	p.OnAsk(func() { Notify(asked) })
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
		p.OnAsk(nil)
		close(quit)
		<-done
	}
}

// Notify puts a token into a channel if there is room for it.
func Notify(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default: // a token waits already
	}
}

// Emit prints an event in the form that was asked for.
func (p *Printer) Emit(e Event) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if b, ok := e.(interface{ inBits() }); ok && p.Bits {
		b.inBits()
	}
	event, msg, to := e.line()
	if p.Quiet && to != ForEveryone {
		return
	}
	if p.JSON {
		if _, note := e.(*Note); !note || to != ForVerbose || p.Verbose {
			_, brief := e.(*Progressed)
			p.put(p.priority(e)+p.object(event, e), brief && to != ForEveryone)
		}
		return
	}
	if msg == "" || to == ForVerbose && !p.Verbose {
		return
	}
	prefix := "zcp: "
	if _, checked := e.(*Digest); p.Name != "" && !checked { // what sha256sum -c reads stays as it is
		prefix += p.Name + ": "
	}
	line := p.priority(e) + p.timed(prefix+text.Escape(msg))
	if t, ok := e.(*Trouble); ok && t.Hint != "" {
		line += p.priority(e) + p.timed(prefix+text.Escape(t.Hint))
	}
	p.put(line, false)
}

// timed ends a line of text, and puts the time before it where that is wanted.
func (p *Printer) timed(line string) string {
	if p.LogTime {
		line = p.time().Format("2006-01-02T15:04:05.000Z07:00 ") + line
	}
	return line + "\n"
}

func (p *Printer) time() time.Time {
	if p.now != nil {
		return p.now()
	}
	return time.Now()
}

// object is e as one line of JSON.
func (p *Printer) object(event string, e Event) string {
	e.set(event, p.Name, p.time())
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(e); err != nil { // only a NaN can do that
		return fmt.Sprintf("{\"event\":\"error\",\"error\":%q}\n", err)
	}
	return escapeUnseen(b.String())
}

// escapeUnseen escapes what package json leaves as it is but a terminal would
// act on: DEL, the C1 controls, bidi overrides and the like.
func escapeUnseen(object string) string {
	msg := strings.TrimSuffix(object, "\n")
	if !text.Unseen(msg) {
		return object
	}
	var b strings.Builder
	for _, r := range msg {
		switch {
		case r == utf8.RuneError || !text.Unseen(string(r)):
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

// put writes a line on a row of its own. What was lost before it is said first.
func (p *Printer) put(line string, brief bool) {
	if n := p.outlet.forgotten(); n > 0 {
		lost := &Note{Message: text.Grouped(n) + " lines were dropped: stderr was not read in time"}
		said := p.object("note", lost)
		if !p.JSON {
			said = p.timed("zcp: " + lost.Message)
		}
		p.outlet.put(p.W, piece{text: p.priority(lost) + said})
	}
	p.outlet.put(p.W, piece{text: line, brief: brief})
}

// Page prints a text as it is, without the prefix.
func (p *Printer) Page(page string) { p.outlet.put(p.W, piece{text: page}) }

// number writes a bare number for -n. A newer one takes the place of one that waits.
func (p *Printer) number(n int64) {
	p.outlet.put(p.W, piece{text: fmt.Sprintf("%d\n", n), brief: true})
}

// draw shows line as the progress line in place of the one before, in one
// write.
func (p *Printer) draw(line string, on screen) {
	p.outlet.put(p.W, piece{text: text.Escape(line), kind: frame, on: on, brief: true})
}

// plain writes the progress line as a line of its own, for a file or a pipe.
func (p *Printer) plain(line string) {
	p.outlet.put(p.W, piece{text: p.timed(text.Escape(line)), brief: true})
}

// clear takes the progress line off the screen.
func (p *Printer) clear() { p.outlet.put(p.W, piece{kind: erase}) }

// forget leaves the progress line where it is: another program has the screen
// now, or has written over it.
func (p *Printer) forget() { p.outlet.put(p.W, piece{kind: forget}) }

// LastWords is how long the end of the program waits for a reader of stderr who has not read
// what was said: one that lives has read it by then.
const LastWords = 500 * time.Millisecond

// Flush waits until everything that was printed is written, but no longer than limit: the
// reader may be stopped, or never read.
func (p *Printer) Flush(limit time.Duration) { p.outlet.flush(limit) }
