package show

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"
)

// A stopped writer takes what it is given and does not come back before it is released.
type stopped struct {
	writes
	busy, release chan struct{}
	once          sync.Once
}

func (w *stopped) Write(p []byte) (int, error) {
	w.once.Do(func() {
		close(w.busy)
		<-w.release
	})
	return w.writes.Write(p)
}

// hold prints a first line on a writer that keeps it until the returned function is called.
func hold(p *Printer) (w *stopped, release func()) {
	w = &stopped{busy: make(chan struct{}), release: make(chan struct{})}
	p.W, p.outlet.way = w, slow
	p.Say("first")
	<-w.busy
	return w, func() { close(w.release) }
}

// While the reader is stopped nothing waits: of what is soon out of date the newest counts, lines stay
// in order, and what did not fit is said.
func TestOutletSlow(t *testing.T) {
	var p Printer
	w, release := hold(&p)
	for i := range 5 {
		p.draw(fmt.Sprintf("%d%%", i), paper{erasing: true})
		p.number(int64(i))
	}
	p.Say("second")
	p.clear()
	if p.Flush(time.Millisecond); w.String() != "" {
		t.Errorf("written before the release: %q", w.list)
	}
	release()
	p.Flush(time.Minute)
	want := []string{"zcp: first\n", "4%\x1b[J\r", "\r\x1b[J4\n", "zcp: second\n"}
	if fmt.Sprintf("%q", w.list) != fmt.Sprintf("%q", want) {
		t.Errorf("got  %q\nwant %q", w.list, want)
	}
}

func TestOutletFull(t *testing.T) {
	var p Printer
	w, release := hold(&p)
	for i := range queueMost + 10 {
		p.Say("line %d", i)
	}
	release()
	p.Flush(time.Minute)
	p.Say("later")
	p.Flush(time.Minute)
	got := w.String()
	if n := strings.Count(got, "zcp: line "); n != queueMost {
		t.Errorf("%d lines, want %d", n, queueMost)
	}
	if !strings.HasSuffix(got, fmt.Sprintf("line %d\nzcp: 10 lines were dropped: stderr was not read in time\nzcp: later\n", queueMost-1)) {
		t.Errorf("it ends with %q", got[len(got)-120:])
	}
}

// Many print at once on a slow writer; the race detector watches.
func TestOutletTogether(t *testing.T) {
	var p Printer
	w, release := hold(&p)
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for range 100 {
				p.Say("x")
				p.draw("bar", paper{})
			}
			p.Flush(time.Minute)
		})
	}
	release()
	all.Wait()
	p.clear()
	p.Flush(time.Minute)
	if n := strings.Count(w.String(), "zcp: x\n"); n != 400 {
		t.Errorf("%d lines, want 400", n)
	}
}
