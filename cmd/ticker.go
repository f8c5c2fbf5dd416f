package cmd

import (
	"os"
	"os/signal"
	"sync"
	"time"
)

const (
	// quietStart keeps what is over at once from flashing a line at people.
	quietStart = 200 * time.Millisecond

	lineInterval  = 100 * time.Millisecond // on a terminal
	eventInterval = time.Second            // otherwise
)

// A ticker looks at the counters of a transfer at intervals and shows them in the
// form that was asked for: the line on a terminal, numbers (-n), objects (--json). SIGUSR1
// gets a status line at once, before the first byte too. It never touches the transfer.
type ticker struct {
	out     *Printer
	display Display
	meter   *Meter
	snap    func() Snapshot
	screen  *screen // where the line goes; nil: nowhere
	rates   *sparkline
	waiting string // what is told while nothing can move yet

	usr1  chan os.Signal
	cont  chan os.Signal
	begun chan struct{}
	quit  chan struct{}
	wg    sync.WaitGroup
	drawn bool // owned by the goroutine until wg is done
}

// newTicker listens for SIGUSR1 from now on and shows progress from begin on. hide keeps the
// line away where the data itself is shown on the terminal.
func newTicker(out *Printer, d Display, m *Meter, snap func() Snapshot, waiting string, hide bool) *ticker {
	t := &ticker{out: out, display: d, meter: m, snap: snap, waiting: waiting,
		usr1: make(chan os.Signal, 1), cont: make(chan os.Signal, 1), begun: make(chan struct{}), quit: make(chan struct{})}
	if !d.Quiet && !d.JSON && !d.Numeric {
		t.screen = newScreen(d.Force, hide)
	}
	if d.Verbose {
		t.rates = &sparkline{}
	}
	notifyStatus(t.usr1)
	notifyContinued(t.cont)
	t.wg.Add(1)
	go t.run()
	return t
}

// begin starts the clock.
func (t *ticker) begin() { close(t.begun) }

// stop takes the line off the screen, says the last number of -n, and tells whether a
// line was drawn. The sparkline is complete then.
func (t *ticker) stop() (drawn bool) {
	close(t.quit)
	t.wg.Wait()
	signal.Stop(t.usr1)
	signal.Stop(t.cont)
	t.out.Clear()
	return t.drawn
}

func (t *ticker) run() {
	defer t.wg.Done()
	for waiting := true; waiting; {
		select {
		case <-t.usr1:
			t.out.Emit(&Note{Message: t.waiting, To: ForEveryone})
		case <-t.begun:
			waiting = false
		case <-t.quit:
			return
		}
	}
	t.tickOn()
}

// tickOn shows progress until stop is called.
func (t *ticker) tickOn() {
	every, clock := t.interval(), (<-chan time.Time)(nil)
	if every > 0 {
		c := time.NewTicker(every)
		defer c.Stop()
		clock = c.C
	}
	began := time.Now()
	last := began
	t.meter.Update(t.snap(), began)
	for {
		select {
		case now := <-clock:
			t.tick(now, now.Sub(began))
			last = now
		case <-t.cont: // stopped for a while: that time counts for nothing
			now := time.Now()
			t.meter.Skip(max(0, now.Sub(last)-every))
			last = now
		case <-t.usr1:
			t.status()
		case <-t.quit:
			t.last()
			return
		}
	}
}

// interval returns the time between looks, 0 where nothing is to be shown.
func (t *ticker) interval() time.Duration {
	switch given := t.display.Interval; {
	case t.screen != nil && given > 0, (t.display.JSON || t.display.Numeric) && given > 0:
		return given
	case t.screen != nil || t.rates != nil && !t.display.JSON && !t.display.Numeric:
		return lineInterval
	case t.display.JSON || t.display.Numeric:
		return eventInterval
	}
	return 0
}

func (t *ticker) tick(now time.Time, elapsed time.Duration) {
	s := t.snap()
	f := t.meter.Update(s, now)
	if t.rates != nil {
		t.rates.add(s.Acked, now)
	}
	switch {
	case t.display.JSON && !t.display.Quiet:
		t.out.Emit(t.event(s, f))
	case t.display.Numeric:
		t.out.Number(number(s))
	case t.screen != nil && elapsed >= quietStart:
		if t.screen.ours() {
			t.drawn = true
			t.out.Draw(f.Render(t.screen.columns()), t.screen.ansi)
		}
	}
}

// status answers SIGUSR1.
func (t *ticker) status() {
	s := t.snap()
	f := t.meter.Update(s, time.Now())
	if t.display.JSON {
		t.out.Emit(t.event(s, f))
		return
	}
	t.out.Emit(&Note{Message: f.String(), To: ForEveryone})
}

// last ends -n with the number that the transfer ended with.
func (t *ticker) last() {
	if t.display.Numeric && !t.display.JSON {
		t.out.Number(number(t.snap()))
	}
}

func (t *ticker) event(s Snapshot, f Frame) *Progress {
	return &Progress{Counts: countsOf(s.Bytes, s.Acked, f.Elapsed, f.Rate), Size: s.Total, Wait: f.Remark.Long}
}

// number is what -n says: percent, or bytes where nobody knows how many there will be.
func number(s Snapshot) int64 {
	switch {
	case s.Total < 0:
		return s.Acked
	case s.Total == 0:
		return 100
	}
	return int64(min(100, 100*float64(s.Acked)/float64(s.Total)))
}
