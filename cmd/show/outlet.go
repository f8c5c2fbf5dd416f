package show

import (
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"
)

// An outlet writes what is printed and never waits for the reader: a pipe that is not read and
// a terminal stopped by ^S must not hold up the bytes, the end or a signal. What the writer does
// not take at once waits in a queue for a goroutine that writes it.
type outlet struct {
	mu      sync.Mutex
	queue   []piece
	lost    int64         // pieces that found the queue full
	writing bool          // the goroutine runs
	idle    chan struct{} // closed when it ends; nil: nothing waits for that
	way     way

	drawn int    // columns of the progress line on the screen now
	on    screen // that screen
	rows  bool   // others of the pipeline draw lines beside ours, each in a row
	row   int    // ours, counted from where the cursor rests
}

// A piece is what is written at once. It is composed only then: what is on the screen by that
// time decides what has to be erased.
type piece struct {
	text  string
	kind  kind
	on    screen // of a frame
	brief bool   // soon out of date: a newer one of the kind takes its place
}

type kind uint8

const (
	said   kind = iota // a line
	frame              // the progress line
	erase              // no progress line any more
	forget             // the progress line stays where it is: another program has the screen now
)

// queueMost is how many pieces may wait for a slow reader, some hundred KiB: the lines of four
// thousand connections that ended at once.
const queueMost = 4096

// put writes a piece to w, or has it written.
func (o *outlet) put(w io.Writer, c piece) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.writing {
		o.enqueue(c)
		return
	}
	line := o.compose(c)
	if line == "" {
		return
	}
	if rest := line[o.takeNow(w, line):]; rest != "" {
		o.writing = true
		go o.drain(w, rest, c.kind)
	}
}

func (o *outlet) enqueue(c piece) {
	if c.brief {
		o.queue = slices.DeleteFunc(o.queue, func(old piece) bool { return old.brief && old.kind == c.kind })
	} else if c.kind == said && len(o.queue) >= queueMost {
		o.lost++
		return
	}
	o.queue = append(o.queue, c)
}

// drain writes line and what comes after it, until nothing is left.
func (o *outlet) drain(w io.Writer, line string, k kind) {
	for {
		if k == said {
			write(w, line)
		} else {
			withoutStop(func() { write(w, line) })
		}
		var more bool
		if line, k, more = o.next(); !more {
			return
		}
	}
}

// next takes the next line out of the queue, or ends the writing.
func (o *outlet) next() (line string, k kind, more bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for len(o.queue) > 0 {
		c := o.queue[0]
		o.queue = o.queue[1:]
		if line = o.compose(c); line != "" {
			return line, c.kind, true
		}
	}
	o.queue, o.writing = nil, false
	if o.idle != nil {
		close(o.idle)
		o.idle = nil
	}
	return "", said, false
}

// takeRow has lines drawn in a row of their own.
func (o *outlet) takeRow(row int, on screen) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.rows, o.row, o.on = true, row, on
}

// flush waits until everything is written, but no longer than limit.
func (o *outlet) flush(limit time.Duration) {
	o.mu.Lock()
	if !o.writing {
		o.mu.Unlock()
		return
	}
	if o.idle == nil {
		o.idle = make(chan struct{})
	}
	idle := o.idle
	o.mu.Unlock()
	select {
	case <-idle:
	case <-time.After(limit):
	}
}

// forgotten returns how many pieces were lost since it was last called, once there is room
// for a line that says so.
func (o *outlet) forgotten() (n int64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.queue) < queueMost/2 {
		n, o.lost = o.lost, 0
	}
	return n
}

// compose is what is written for a piece, on a row of its own. On a terminal the cursor rests
// at the start of the progress line: so does the terminal's idea of the row when the window
// becomes narrower and the line is folded, and the next frame erases all of it.
func (o *outlet) compose(c piece) string {
	switch {
	case c.kind == said:
		return o.wipe() + c.text
	case c.kind == erase:
		return o.wipe()
	case c.kind == forget, !c.on.drawable(): // it may have waited until another had the screen
		o.drawn = 0
		return ""
	}
	width := utf8.RuneCountInString(c.text)
	line := c.text + "\x1b[J\r"
	switch {
	case o.rows:
		line = strings.Repeat("\n", o.row) + c.text + "\x1b[K\r" + strings.Repeat("\x1b[A", o.row)
	case !c.on.erases():
		line = "\r" + c.text + strings.Repeat(" ", max(0, o.drawn-width))
	}
	o.drawn, o.on = width, c.on
	return line
}

// wipe returns what takes the progress line off the screen and leaves the cursor at the start
// of an empty row.
func (o *outlet) wipe() string {
	width := o.drawn
	o.drawn = 0
	switch {
	case o.rows && o.on.drawable(): // theirs may be there, where ours is not; they draw them again
		return "\r\x1b[J"
	case width == 0 || !o.on.drawable():
		return ""
	case o.on.erases():
		return "\r\x1b[J"
	}
	return "\r" + strings.Repeat(" ", width) + "\r"
}

// A way is how a writer can be written to without waiting for its reader.
type way uint8

const (
	unknownWay way = iota
	direct         // it never waits: a file, /dev/null, what is not a descriptor
	pipeWay        // pwritev2(2) with RWF_NOWAIT, since Linux 5.12 or so; a FIFO refuses it
	socketWay      // sendmsg(2) with MSG_DONTWAIT
	slow           // a terminal: it can only wait
)

// takeNow writes what w takes at once, and returns how many bytes that were. A goroutine for
// each line would cost a start a thread more, a twelfth of its time.
func (o *outlet) takeNow(w io.Writer, line string) int {
	f, isFile := w.(*os.File)
	if o.way == unknownWay {
		o.way = direct
		if isFile {
			o.way = wayOf(f)
		}
	}
	if o.way == direct {
		write(w, line)
		return len(line)
	}
	return writeNow(f, o.way, line)
}

// write is one write(2), unless a signal or a slow reader cuts it. There is nowhere to report
// that stderr cannot be written to.
func write(w io.Writer, line string) { _, _ = io.WriteString(w, line) }
