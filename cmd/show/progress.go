package show

import (
	"os"
	"os/signal"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Progress shows a transfer while it runs, from counters it reads: it stands
// beside the bytes, never in their way. Fill it in, Start it when there is
// something to wait for, and Stop it before the last word is said.
type Progress struct {
	Printer *Printer
	Read    func() Snapshot // called from one goroutine; has to be quick
	Meter   Meter           // From, To and FromNet are the caller's

	// Attempt tells of a connection that is being made; false: none is. Nil: there is nothing to connect to.
	Attempt func() (Attempt, bool)
	// Rows are what follows the line that was asked for: a table. Nil: there is none.
	Rows func() []Event

	DataOnTerminal bool // the bytes themselves go to a terminal: no line among them, unless forced

	LookupEnv func(string) (string, bool) // nil: os.LookupEnv

	continued chan os.Signal // SIGCONT: the process was stopped until now; nil: it is not asked
	stopping  chan os.Signal // SIGTSTP: the process shall stop; nil: it is not asked

	mode     mode
	screen   screen
	interval time.Duration // between what is shown
	beat     time.Duration // between looks at the counters, which come more often
	started  bool          // the meter runs
	begun    time.Time     // when Start was called
	phase    Phase         // at the last look
	trying   bool          // the line on the screen tells of an attempt
	release  func()        // gives the row back; nil: there is none
	last     time.Time     // of the last look
	stopped  time.Duration
	spark    Spark

	mu      sync.Mutex
	watched bool // the goroutine that shows was started
	over    bool // and is not any more

	asks  chan struct{} // a token: says one line
	moves chan struct{} // a token: bytes may move from now on
	end   chan struct{}
	done  chan struct{}
	once  sync.Once
}

type mode uint8

const (
	showNothing mode = iota
	showLine
	showNumbers
	showEvents
)

const (
	frameInterval = 100 * time.Millisecond // on a terminal
	plainInterval = time.Second            // elsewhere
	firstFrame    = 200 * time.Millisecond // what is over by then is not worth a line
	firstAttempt  = 500 * time.Millisecond // nor is a connection that stands by then
	continueGrace = 20 * time.Millisecond  // for SIGCONT to get from the kernel to us
	clearGrace    = 100 * time.Millisecond // for the terminal to take the line away before we stop
)

// Start begins to show. It returns at once.
func (p *Progress) Start() {
	if p.LookupEnv == nil {
		p.LookupEnv = os.LookupEnv
	}
	p.choose()
	if !p.Printer.silent() { // each signal costs a start 0.1 ms of switching threads
		p.continued = make(chan os.Signal, 1)
		signal.Notify(p.continued, unix.SIGCONT)
	}
	p.begin()
	p.Printer.OnAsk(p.Ask)
	if p.mode == showLine && !signal.Ignored(unix.SIGTSTP) {
		signal.Notify(p.stopping, unix.SIGTSTP)
	}
}

// ShowsLine tells whether there is a progress line.
func (p *Progress) ShowsLine() bool { return p.mode == showLine }

// Shows tells whether anything is shown while bytes move.
func (p *Progress) Shows() bool { return p.mode != showNothing }

func (p *Progress) begin() {
	p.asks, p.moves = make(chan struct{}, 1), make(chan struct{}, 1)
	p.end, p.done = make(chan struct{}), make(chan struct{})
	p.stopping = make(chan os.Signal, 1)
	p.beat = min(p.interval, plainInterval)
	p.last = time.Now()
	p.begun = p.last
	p.update(p.last)
	if !p.Printer.silent() {
		p.launch()
	}
}

// launch starts the goroutine that shows. With -q it is started by the first Ask: a
// goroutine may need a thread of its own, a twelfth of the time of a start.
func (p *Progress) launch() {
	if !p.watched && !p.over {
		p.watched = true
		go p.watch()
	}
}

// Ask has one line said at once, also with -q. It does not wait for it.
func (p *Progress) Ask() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.launch()
	Notify(p.asks)
}

// Begin starts the clock: there is a connection. Without it, the clock starts with the
// next look.
func (p *Progress) Begin() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.watched {
		Notify(p.moves)
	} else {
		p.update(time.Now())
	}
}

// Stop ends it and leaves the screen clean: the line is gone, and nothing is
// drawn afterwards. With -n one last number says how it ended; well tells that
// everything arrived. Only the first Stop counts.
func (p *Progress) Stop(well bool) {
	p.once.Do(func() {
		p.Printer.OnAsk(nil)
		p.mu.Lock()
		p.over = true
		p.mu.Unlock()
		close(p.end)
		if p.watched {
			<-p.done
		}
		for _, c := range []chan os.Signal{p.continued, p.stopping} {
			if c != nil {
				signal.Stop(c)
			}
		}
		f := p.update(time.Now())
		if p.mode == showLine {
			p.Printer.clear()
		}
		if p.release != nil {
			p.Printer.Flush(clearGrace)
			p.release()
		}
		if p.mode == showNumbers && p.started {
			if well && f.Total >= 0 {
				f.Done = f.Total // 100 even for a file that shrank, and for an empty one
			}
			p.Printer.number(f.number())
		}
	})
}

// Curve says with -v how the rate went. It may be called after Stop.
func (p *Progress) Curve() {
	p.spark.ASCII, p.spark.Bits = !knowsBlocks(p.LookupEnv), p.Printer.Bits
	if curve, numbers := p.spark.Lines(); curve != "" {
		p.Printer.Detail("%s", curve)
		p.Printer.Detail("%s", numbers)
	}
}

// choose decides what is shown, where, and how often.
func (p *Progress) choose() {
	t, onTerminal := terminalOf(p.Printer.W, p.LookupEnv)
	p.interval = plainInterval
	switch d := p.Printer.Options; {
	case d.Quiet:
	case d.JSON:
		p.mode = showEvents
	case d.Numeric:
		p.mode = showNumbers
	case onTerminal && (d.Force || !t.dumb && !p.DataOnTerminal):
		p.mode, p.screen, p.interval = showLine, t, frameInterval
		if d.Name != "" && t.erases() {
			p.takeRow(t)
		}
	case d.Force:
		p.mode, p.screen = showLine, noTerminalOf(p.LookupEnv)
	case d.Verbose:
		p.interval = frameInterval // for the curve at the end
	}
	if p.Printer.Interval > 0 {
		p.interval = p.Printer.Interval
	}
}

// watch is the goroutine that shows.
func (p *Progress) watch() {
	defer close(p.done)
	beater := time.NewTicker(p.beat)
	defer beater.Stop()
	beats, ticks := beater.C, (<-chan time.Time)(nil)
	switch {
	case p.mode == showNothing:
	case p.interval == p.beat:
		beats, ticks = nil, beater.C
	default:
		ticker := time.NewTicker(p.interval)
		defer ticker.Stop()
		ticks = ticker.C
	}
	for {
		select {
		case <-p.end:
			return
		case <-p.moves:
			p.update(time.Now())
		case <-beats:
			p.look()
		case <-ticks:
			p.tick()
		case <-p.stopping:
			p.suspend()
		case <-p.asks:
			p.status()
		case <-p.continued:
			p.resume()
		}
	}
}

// look reads the counters. When much more time went by than was asked for, the
// process may have been stopped: SIGCONT is the proof, and has a moment to come.
func (p *Progress) look() Frame {
	if time.Since(p.last) > p.beat+plainInterval && p.awaitContinued() {
		p.resume()
	}
	return p.update(time.Now())
}

// tick shows the present.
func (p *Progress) tick() {
	f := p.look()
	if !p.started {
		p.attempt()
		return
	}
	switch p.mode {
	case showEvents:
		p.Printer.Emit(f.event(p.Meter.last, ForMost))
	case showNumbers:
		p.Printer.number(f.number())
	case showLine:
		p.frame(f)
	}
}

// update measures. Until there is a connection nothing is measured.
func (p *Progress) update(now time.Time) Frame {
	p.last = now
	s := p.Read()
	p.phase = s.Phase
	if !p.started && (s.Phase == Connecting || s.Phase == Opening) {
		return Frame{Total: s.Total, ETA: -1}
	}
	p.started = true
	f := p.Meter.Update(s, now)
	f.Name, f.Bits = p.Printer.Name, p.Printer.Bits
	p.spark.Add(f.Elapsed, s.Acked)
	return f
}
