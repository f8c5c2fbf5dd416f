package cmd

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// bench is a Progress on a screen of paper, in a bubble where time is free.
type bench struct {
	*Progress
	out  writes
	s    atomic.Pointer[Snapshot]
	usr1 chan os.Signal
	cont chan os.Signal
}

func newBench(m mode, d Display, s Snapshot) *bench {
	b := &bench{usr1: make(chan os.Signal, 1), cont: make(chan os.Signal, 1)}
	b.set(s)
	p := &Printer{W: &b.out}
	p.setUp(d)
	b.Progress = &Progress{
		Printer: p, Display: d, Read: func() Snapshot { return *b.s.Load() },
		Meter: Meter{From: "the sender", To: "the receiver"}, Status: b.usr1, Continued: b.cont,
		LookupEnv: func(string) (string, bool) { return "", false },
		mode:      m, screen: paper{width: 60, erasing: true}, interval: frameInterval,
	}
	return b
}

func (b *bench) set(s Snapshot) { b.s.Store(&s) }

// pass lets time go by while perSecond bytes move.
func (b *bench) pass(d time.Duration, perSecond int64) {
	const step = 10 * time.Millisecond
	for range d / step {
		time.Sleep(step / 2) // between the ticks, so that each tick sees whole steps
		s := *b.s.Load()
		s.Bytes += perSecond / 100
		s.Acked = s.Bytes
		b.set(s)
		time.Sleep(step / 2)
	}
	synctest.Wait()
}

// take returns what was written since the last take.
func (b *bench) take() []string {
	b.out.mu.Lock()
	defer b.out.mu.Unlock()
	list := b.out.list
	b.out.list = nil
	return list
}

func TestProgressLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(showLine, Display{}, Snapshot{Total: 100 << 20})
		b.begin()
		b.pass(190*time.Millisecond, 10<<20)
		if got := b.take(); len(got) != 0 {
			t.Errorf("drawn before 200 ms: %q", got)
		}
		b.pass(810*time.Millisecond, 10<<20)
		frames := b.take()
		if len(frames) != 9 { // at 200, 300, ... 1000 ms
			t.Errorf("%d frames, each one write: %q", len(frames), frames)
		}
		if want := "10.0MiB 0:00:01 [10.0MiB/s]   9% [>           ] ETA 0:00:10\x1b[J\r"; len(frames) > 0 && frames[len(frames)-1] != want {
			t.Errorf("got  %q\nwant %q", frames[len(frames)-1], want)
		}
		b.Stop(true)
		b.Stop(true)
		if got := strings.Join(b.take(), ""); got != "\r\x1b[J" {
			t.Errorf("Stop leaves %q", got)
		}
		b.Printer.Say("done")
		if got := strings.Join(b.take(), ""); got != "zcp: done\n" {
			t.Errorf("then %q", got)
		}
	})
}

// TestProgressShort: what is over at once shows nothing at all.
func TestProgressShort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(showLine, Display{}, Snapshot{Total: 100})
		b.begin()
		b.pass(190*time.Millisecond, 100)
		b.Stop(true)
		if got := b.take(); len(got) != 0 {
			t.Errorf("%q", got)
		}
	})
}

// TestProgressStall: the line ticks while nothing moves and says who is waited for.
func TestProgressStall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(showLine, Display{}, Snapshot{Total: 100 << 20, Waiting: Destination})
		b.begin()
		b.pass(3*time.Second, 10<<20)
		b.take()
		b.pass(12*time.Second, 0)
		frames := b.take()
		if len(frames) != 120 || !strings.Contains(frames[119], "stalled 12s, waiting for the receiver") {
			t.Errorf("%d frames, the last %q", len(frames), frames[max(len(frames)-1, 0)])
		}
		b.set(Snapshot{Bytes: 100 << 20, Acked: 100 << 20, Total: 100 << 20, Phase: Closing})
		b.pass(time.Second, 0)
		if frames := b.take(); !strings.Contains(frames[len(frames)-1], "100%") || !strings.Contains(frames[len(frames)-1], "waiting for the peer") {
			t.Errorf("closing: %q", frames[len(frames)-1])
		}
		b.Stop(true)
	})
}

// TestProgressBackground: while somebody else has the terminal nothing is drawn,
// and what was drawn is left alone.
func TestProgressBackground(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(showLine, Display{}, Snapshot{Total: -1})
		var away atomic.Bool
		b.screen = awayPaper{&away}
		b.begin()
		b.pass(time.Second, 1000)
		b.take()
		away.Store(true)
		b.pass(time.Second, 1000)
		if got := b.take(); len(got) != 0 {
			t.Errorf("drawn in the background: %q", got)
		}
		b.Printer.Say("a message")
		if got := b.take(); fmt.Sprint(got) != "[zcp: a message\n]" {
			t.Errorf("%q", got)
		}
		away.Store(false)
		b.pass(time.Second, 1000)
		if got := b.take(); len(got) != 10 {
			t.Errorf("%d frames in the foreground", len(got))
		}
		away.Store(true)
		b.Stop(true)
		if got := b.take(); len(got) != 0 {
			t.Errorf("Stop in the background: %q", got)
		}
	})
}

type awayPaper struct{ away *atomic.Bool }

func (s awayPaper) columns() int   { return 60 }
func (s awayPaper) drawable() bool { return !s.away.Load() }
func (s awayPaper) erases() bool   { return true }

func TestProgressNumbers(t *testing.T) {
	for _, tc := range []struct {
		name  string
		total int64
		well  bool
		want  string
	}{
		{"known", 1000, true, "20 40 60 100"},
		{"known, failed", 1000, false, "20 40 60 70"},
		{"unknown", -1, true, "200 400 600 700"},
		{"unknown, failed", -1, false, "200 400 600 700"},
		{"empty", 0, true, "100 100 100 100"},
	} {
		synctest.Test(t, func(t *testing.T) {
			b := newBench(showNumbers, Display{Numeric: true}, Snapshot{Total: tc.total})
			b.interval = time.Second
			b.begin()
			b.pass(3500*time.Millisecond, 200)
			b.Stop(tc.well)
			if got := strings.Join(strings.Fields(b.out.String()), " "); got != tc.want {
				t.Errorf("%s: %s, want %s", tc.name, got, tc.want)
			}
		})
	}
}

func TestProgressEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(showEvents, Display{JSON: true}, Snapshot{Total: 1000, Waiting: Destination})
		b.interval = time.Second
		b.begin()
		b.pass(2*time.Second, 100)
		b.pass(4*time.Second, 0)
		b.Stop(true)
		var last Progressed
		list := b.take()
		for _, line := range list {
			if err := json.Unmarshal([]byte(line), &last); err != nil || last.Event != "progress" || last.Size != 1000 {
				t.Errorf("%q: %v", line, err)
			}
		}
		if len(list) != 6 || last.Bytes != 200 || last.Acked != 200 || last.Seconds != 6 || last.Rate != 0 || !strings.HasPrefix(last.Wait, "stalled") {
			t.Errorf("%d events, the last %+v", len(list), last)
		}
	})
}

// TestProgressStatus: SIGUSR1 says one line at once, whatever else is shown.
func TestProgressStatus(t *testing.T) {
	for _, tc := range []struct {
		name string
		m    mode
		d    Display
		want string
	}{
		{"quiet", showNothing, Display{Quiet: true}, "zcp: 1000B 0:00:10 [   100B/s]  50% ETA 0:00:10\n"},
		{"plain", showNothing, Display{}, "zcp: 1000B 0:00:10 [   100B/s]  50% ETA 0:00:10\n"},
		{"line", showLine, Display{}, "\r\x1b[Jzcp: 1000B 0:00:10 [   100B/s]  50% ETA 0:00:10\n"},
		{"json", showNothing, Display{JSON: true, Quiet: true}, `"bytes":1000,"acked":1000,"seconds":10,"rate":100,"size":2000}` + "\n"},
	} {
		synctest.Test(t, func(t *testing.T) {
			b := newBench(tc.m, tc.d, Snapshot{Total: 2000})
			b.begin()
			b.pass(10*time.Second, 100)
			b.take()
			b.usr1 <- syscall.SIGUSR1
			synctest.Wait()
			if got := strings.Join(b.take(), ""); !strings.HasSuffix(got, tc.want) || tc.want[0] != '"' && got != tc.want {
				t.Errorf("%s: %q, want %q", tc.name, got, tc.want)
			}
			b.Stop(true)
		})
	}
}

// TestProgressConnecting: until somebody is there nothing is drawn, the clock
// does not run, and SIGUSR1 says what is waited for.
func TestProgressConnecting(t *testing.T) {
	for _, m := range []mode{showNothing, showLine, showNumbers, showEvents} {
		synctest.Test(t, func(t *testing.T) {
			b := newBench(m, Display{JSON: m == showEvents}, Snapshot{Total: -1, Phase: Connecting})
			b.begin()
			b.pass(time.Minute, 0)
			if got := b.take(); len(got) != 0 {
				t.Fatalf("%d: %q", m, got[:1])
			}
			b.usr1 <- syscall.SIGUSR1
			synctest.Wait()
			if got := strings.Join(b.take(), ""); !strings.Contains(got, "waiting for a connection") {
				t.Errorf("%d: %q", m, got)
			}
			b.set(Snapshot{Total: -1})
			b.pass(time.Second, 1000)
			b.usr1 <- syscall.SIGUSR1
			synctest.Wait()
			got := b.take()
			if last := got[len(got)-1]; !strings.Contains(last, "0:00:01") && !strings.Contains(last, `"seconds":1,`) && !strings.Contains(last, `"seconds":0.9`) &&
				!strings.Contains(last, "0:00:00") {
				t.Errorf("%d: %q", m, last)
			}
			b.Stop(false)
			b.take()
		})
	}
}

// TestProgressNeverConnected: with -n nobody who never came is counted.
func TestProgressNeverConnected(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(showNumbers, Display{Numeric: true}, Snapshot{Total: 5, Phase: Connecting})
		b.begin()
		b.Stop(false)
		if got := b.take(); len(got) != 0 {
			t.Errorf("%q", got)
		}
	})
}

// TestProgressStopped: an hour in SIGSTOP is no stall, no slow rate and no time,
// whether the tick or the signal is seen first.
func TestProgressStopped(t *testing.T) {
	for _, signalFirst := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			b := newBench(showLine, Display{}, Snapshot{Total: -1})
			reads := make(chan bool)
			held := false
			read := b.Read
			b.Read = func() Snapshot { // the process stands still in here, as it would anywhere
				if held {
					<-reads
				}
				return read()
			}
			b.begin()
			b.pass(10*time.Second, 1<<20)
			b.take()
			held = true
			time.Sleep(frameInterval)
			synctest.Wait() // the goroutine hangs in Read
			time.Sleep(time.Hour)
			held = false
			if signalFirst {
				b.cont <- syscall.SIGCONT
				reads <- true
			} else {
				reads <- true
				time.Sleep(continueGrace / 2)
				b.cont <- syscall.SIGCONT
			}
			b.pass(time.Second, 1<<20)
			frames := b.take()
			last := frames[len(frames)-1]
			if rate := b.Meter.samples.rate(rateWindow); !strings.Contains(last, "0:00:11 [") || strings.Contains(last, "stalled") || rate < 0.9*(1<<20) || rate > 1.1*(1<<20) {
				t.Errorf("signal first %v: %q", signalFirst, last)
			}
			b.Stop(true)
			if d := b.Stopped(); d < time.Hour || d > time.Hour+time.Second {
				t.Errorf("signal first %v: stopped for %v", signalFirst, d)
			}
		})
	}
}

// TestProgressLate: a process that only got no processor for a while has lost
// nothing: without SIGCONT the time counts.
func TestProgressLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(showLine, Display{}, Snapshot{Total: -1})
		b.begin()
		b.pass(time.Second, 1<<20)
		b.last = b.last.Add(-time.Minute)
		b.pass(time.Second, 1<<20)
		b.Stop(true)
		if b.Stopped() != 0 {
			t.Errorf("stopped for %v", b.Stopped())
		}
	})
}

// TestProgressCurve: with -v the curve is told, two lines within 80 columns.
func TestProgressCurve(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(showNothing, Display{Verbose: true}, Snapshot{Total: -1})
		b.LookupEnv = func(name string) (string, bool) { return "C.UTF-8", name == "LANG" }
		b.begin()
		b.pass(time.Minute, 5<<20)
		b.pass(time.Minute, 10<<20)
		b.Stop(true)
		b.Curve()
		got := b.out.String()
		if !strings.HasPrefix(got, "zcp: [▅▅▅▅") && !strings.HasPrefix(got, "zcp: [▄▄▄▄") || !strings.Contains(got, "██] a bar is ") || !strings.Contains(got, "\nzcp: rate: lowest ") {
			t.Errorf("%s", got)
		}
		for _, row := range strings.Split(got, "\n") {
			if n := len([]rune(row)); n > 80 {
				t.Errorf("%d columns: %s", n, row)
			}
		}
	})
	b := newBench(showNothing, Display{}, Snapshot{})
	b.Curve()
	if got := b.take(); len(got) != 0 {
		t.Errorf("a curve of nothing: %q", got)
	}
}

// TestChoose decides for each kind of stderr and each wish what is shown.
func TestChoose(t *testing.T) {
	pipe, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer pipe.Close()
	defer w.Close()
	_, tty := openPty(t)
	term := map[string]string{"TERM": "xterm"}
	for _, tc := range []struct {
		name     string
		to       *os.File
		env      map[string]string
		d        Display
		data     bool
		mode     mode
		interval time.Duration
		erases   bool
	}{
		{"terminal", tty, term, Display{}, false, showLine, 100 * time.Millisecond, true},
		{"NO_COLOR changes nothing, there are no colours", tty, map[string]string{"TERM": "xterm", "NO_COLOR": "1"}, Display{}, false, showLine, 100 * time.Millisecond, true},
		{"terminal, -i", tty, term, Display{Interval: 5 * time.Second}, false, showLine, 5 * time.Second, true},
		{"terminal, data on one", tty, term, Display{}, true, showNothing, time.Second, false},
		{"terminal, data on one, -f", tty, term, Display{Force: true}, true, showLine, 100 * time.Millisecond, true},
		{"dumb terminal", tty, map[string]string{"TERM": "dumb"}, Display{}, false, showNothing, time.Second, false},
		{"nameless terminal", tty, nil, Display{}, false, showNothing, time.Second, false},
		{"dumb terminal, -f", tty, map[string]string{"TERM": "dumb"}, Display{Force: true}, false, showLine, 100 * time.Millisecond, false},
		{"terminal, -q", tty, term, Display{Quiet: true}, false, showNothing, time.Second, false},
		{"terminal, -n", tty, term, Display{Numeric: true}, false, showNumbers, time.Second, false},
		{"terminal, --json", tty, term, Display{JSON: true}, false, showEvents, time.Second, false},
		{"terminal, -q --json", tty, term, Display{JSON: true, Quiet: true}, false, showNothing, time.Second, false},
		{"pipe", w, term, Display{}, false, showNothing, time.Second, false},
		{"pipe, -v", w, term, Display{Verbose: true}, false, showNothing, 100 * time.Millisecond, false},
		{"pipe, -f", w, term, Display{Force: true}, false, showLine, time.Second, false},
		{"pipe, -n", w, term, Display{Numeric: true}, false, showNumbers, time.Second, false},
		{"pipe, -n -i", w, term, Display{Numeric: true, Interval: time.Minute}, false, showNumbers, time.Minute, false},
	} {
		p := &Progress{Printer: &Printer{W: tc.to}, Display: tc.d, DataOnTerminal: tc.data,
			LookupEnv: func(name string) (string, bool) { v, ok := tc.env[name]; return v, ok }}
		p.choose()
		erases := p.screen != nil && p.screen.erases()
		if p.mode != tc.mode || p.interval != tc.interval || erases != tc.erases {
			t.Errorf("%s: mode %d, interval %v, erases %v; want %d, %v, %v", tc.name, p.mode, p.interval, erases, tc.mode, tc.interval, tc.erases)
		}
	}
}

// BenchmarkTick is one tick with everything: counters, line, write to a real
// terminal nobody reads slowly.
func BenchmarkTick(b *testing.B) {
	_, tty := openPty(b)
	p := &Progress{Printer: &Printer{W: tty}, LookupEnv: func(string) (string, bool) { return "xterm", true },
		Read: func() Snapshot { return Snapshot{Bytes: 1 << 40, Acked: 1 << 40, Total: 1 << 50} }}
	p.choose()
	p.update(time.Now())
	p.Meter.start = p.Meter.start.Add(-time.Minute)
	b.ReportAllocs()
	for b.Loop() {
		p.tick()
	}
}
