package cmd

import (
	"os"
	"sync"
	"time"
)

// Progress shows a transfer while it runs, from counters it reads: it stands
// beside the bytes, never in their way. Fill it in, Start it when there is
// something to wait for, and Stop it before the last word is said.
type Progress struct {
	Printer *Printer
	Display Display
	Read    func() Snapshot // called from one goroutine; has to be quick
	Meter   Meter           // From, To and FromNet are the caller's

	DataOnTerminal bool // the bytes themselves go to a terminal: no line among them, unless forced

	Status    <-chan os.Signal            // SIGUSR1: says one line; nil: never
	Continued <-chan os.Signal            // SIGCONT: the process was stopped until now
	LookupEnv func(string) (string, bool) // nil: os.LookupEnv

	mode     mode
	screen   screen
	interval time.Duration
	started  bool // the meter runs
	last     time.Time
	stopped  time.Duration
	spark    Spark

	end  chan struct{}
	done chan struct{}
	once sync.Once
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
	continueGrace = 20 * time.Millisecond  // for SIGCONT to get from the kernel to us
)

// Start begins to show. It returns at once.
func (p *Progress) Start() {
	if p.LookupEnv == nil {
		p.LookupEnv = os.LookupEnv
	}
	p.choose()
	p.begin()
}

func (p *Progress) begin() {
	p.end, p.done = make(chan struct{}), make(chan struct{})
	p.last = time.Now()
	p.update(p.last)
	go p.watch()
}

// Stop ends it and leaves the screen clean: the line is gone, and nothing is
// drawn afterwards. With -n one last number says how it ended; well tells that
// everything arrived. Only the first Stop counts.
func (p *Progress) Stop(well bool) {
	p.once.Do(func() {
		close(p.end)
		<-p.done
		f := p.update(time.Now())
		if p.mode == showLine {
			withoutStop(p.Printer.clear)
		}
		if p.mode == showNumbers && p.started {
			if well && f.Total >= 0 {
				f.Done = f.Total // 100 even for a file that shrank, and for an empty one
			}
			p.Printer.number(f.number())
		}
	})
}

// Stopped is how long the process was stopped (SIGSTOP, SIGTSTP) meanwhile. It
// may be called after Stop.
func (p *Progress) Stopped() time.Duration { return p.stopped }

// Curve says with -v how the rate went. It may be called after Stop.
func (p *Progress) Curve() {
	p.spark.ASCII = !knowsBlocks(p.LookupEnv)
	if curve, numbers := p.spark.Lines(); curve != "" {
		p.Printer.Detail("%s", curve)
		p.Printer.Detail("%s", numbers)
	}
}

// choose decides what is shown, where, and how often.
func (p *Progress) choose() {
	t, onTerminal := terminalOf(p.Printer.W, p.LookupEnv)
	p.interval = plainInterval
	switch d := p.Display; {
	case d.Quiet:
	case d.JSON:
		p.mode = showEvents
	case d.Numeric:
		p.mode = showNumbers
	case onTerminal && (d.Force || !t.dumb && !p.DataOnTerminal):
		p.mode, p.screen, p.interval = showLine, t, frameInterval
	case d.Force:
		p.mode, p.screen = showLine, noTerminal{}
	case d.Verbose:
		p.interval = frameInterval // for the curve at the end
	}
	if p.Display.Interval > 0 {
		p.interval = p.Display.Interval
	}
}

// watch is the goroutine that shows.
func (p *Progress) watch() {
	defer close(p.done)
	var ticks <-chan time.Time
	if p.mode != showNothing || p.Display.Verbose {
		ticker := time.NewTicker(p.interval)
		defer ticker.Stop()
		ticks = ticker.C
	}
	for {
		select {
		case <-p.end:
			return
		case <-ticks:
			p.tick()
		case <-p.Status:
			p.status()
		case <-p.Continued:
			p.resume()
		}
	}
}

// tick shows the present. When much more time went by than was asked for, the
// process may have been stopped: SIGCONT is the proof, and has a moment to come.
func (p *Progress) tick() {
	if p.Continued != nil && time.Since(p.last) > p.interval+plainInterval {
		select {
		case <-p.Continued:
			p.resume()
		case <-time.After(continueGrace):
		}
	}
	f := p.update(time.Now())
	if !p.started {
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

// frame draws the line, if it may.
func (p *Progress) frame(f Frame) {
	switch {
	case !p.screen.drawable():
		p.Printer.forget()
	case f.Elapsed >= firstFrame:
		line := f.Render(p.screen.columns())
		withoutStop(func() { p.Printer.draw(line, p.screen) })
	}
}

// update reads the counters. Until somebody is there nothing is measured.
func (p *Progress) update(now time.Time) Frame {
	p.last = now
	s := p.Read()
	if !p.started && s.Phase == Connecting {
		return Frame{Total: s.Total, ETA: -1}
	}
	p.started = true
	f := p.Meter.Update(s, now)
	p.spark.Add(f.Elapsed, s.Acked)
	return f
}

// status answers SIGUSR1: one line at once, also with -q.
func (p *Progress) status() {
	f := p.update(time.Now())
	switch {
	case !p.started:
		p.Printer.Emit(&Note{Message: "waiting for a connection", To: ForEveryone})
	case p.Display.JSON:
		p.Printer.Emit(f.event(p.Meter.last, ForEveryone))
	default:
		p.Printer.Emit(&Note{Message: f.String(), To: ForEveryone})
	}
}

// resume takes the time in which the process was stopped out of all clocks. The
// shell has used the screen meanwhile.
func (p *Progress) resume() {
	now := time.Now()
	gap := now.Sub(p.last)
	p.last = now
	p.stopped += gap
	if p.started {
		p.Meter.Skip(gap)
	}
	p.Printer.forget()
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
	return &Progressed{Counts: countsOf(s.Bytes, s.Acked, f.Elapsed, f.Rate), Size: f.Total, Wait: f.Remark.Long, to: to}
}
