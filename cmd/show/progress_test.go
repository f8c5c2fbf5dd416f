package show

import (
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
	cont chan os.Signal

	held    atomic.Bool // Read hangs
	release chan bool
}

func newBench(m mode, d Options, s Snapshot) *bench {
	b := &bench{cont: make(chan os.Signal, 1), release: make(chan bool)}
	b.set(s)
	p := &Printer{W: &b.out}
	p.Options = d
	b.Progress = &Progress{
		Printer: p, Read: b.read,
		Meter: Meter{From: "the sender", To: "the receiver"}, continued: b.cont,
		LookupEnv: func(string) (string, bool) { return "", false },
		mode:      m, screen: paper{width: 60, erasing: true}, interval: frameInterval,
	}
	return b
}

func (b *bench) read() Snapshot {
	if b.held.Load() {
		<-b.release
	}
	return *b.s.Load()
}

func (b *bench) set(s Snapshot) { b.s.Store(&s) }

// pass lets time go by while perSecond bytes move.
func (b *bench) pass(d time.Duration, perSecond int64) {
	const step = 50 * time.Millisecond
	for range d / step {
		time.Sleep(step / 2) // between the ticks, so that each tick sees whole steps
		s := *b.s.Load()
		s.Bytes += perSecond / 20
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
		b := newBench(showLine, Options{}, Snapshot{Total: 100 << 20})
		b.begin()
		b.pass(150*time.Millisecond, 10<<20)
		if got := b.take(); len(got) != 0 {
			t.Errorf("drawn before 200 ms: %q", got)
		}
		b.pass(850*time.Millisecond, 10<<20)
		frames := b.take()
		if len(frames) != 9 { // at 200, 300, ... 1000 ms
			t.Errorf("%d frames, each one write: %q", len(frames), frames)
		}
		if want := "10.0MiB 0:00:01 [10.0MiB/s]  10% [>           ] ETA 0:00:09\x1b[J\r"; len(frames) > 0 && frames[len(frames)-1] != want {
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
		b := newBench(showLine, Options{}, Snapshot{Total: 100})
		b.begin()
		b.pass(150*time.Millisecond, 100)
		b.Stop(true)
		if got := b.take(); len(got) != 0 {
			t.Errorf("%q", got)
		}
	})
}

// TestProgressStall: the line ticks while nothing moves and says who is waited for.
func TestProgressStall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(showLine, Options{}, Snapshot{Total: 100 << 20, Waiting: Destination})
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

// TestProgressBackground: while another process group has the terminal nothing is drawn,
// and what was drawn is left alone.
func TestProgressBackground(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(showLine, Options{}, Snapshot{Total: -1})
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

// TestProgressConnecting: until a peer is there nothing is drawn, the clock
// does not run, and SIGUSR1 says what is waited for.
func TestProgressConnecting(t *testing.T) {
	for _, m := range []mode{showNothing, showLine, showNumbers, showEvents} {
		synctest.Test(t, func(t *testing.T) {
			b := newBench(m, Options{JSON: m == showEvents}, Snapshot{Total: -1, Phase: Connecting})
			b.begin()
			b.pass(time.Minute, 0)
			if got := b.take(); len(got) != 0 {
				t.Fatalf("%d: %q", m, got[:1])
			}
			b.Ask()
			synctest.Wait()
			if got := strings.Join(b.take(), ""); !strings.Contains(got, "waiting for a connection") {
				t.Errorf("%d: %q", m, got)
			}
			b.set(Snapshot{Total: -1})
			b.pass(time.Second, 1000)
			b.Ask()
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

// TestProgressNeverConnected: with -n a peer that never came is not counted.
func TestProgressNeverConnected(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(showNumbers, Options{Numeric: true}, Snapshot{Total: 5, Phase: Connecting})
		b.begin()
		b.Stop(false)
		if got := b.take(); len(got) != 0 {
			t.Errorf("%q", got)
		}
	})
}

// standStill lets an hour go by in which the goroutine that draws does not run,
// and returns what lets it go on.
func (b *bench) standStill() (goOn func()) {
	b.held.Store(true)
	time.Sleep(frameInterval)
	synctest.Wait() // it hangs in Read now
	time.Sleep(time.Hour)
	b.held.Store(false)
	return func() { b.release <- true }
}

// TestProgressStopped: an hour in SIGSTOP is not a stall, does not slow the rate and does not count,
// whether the tick or the signal is seen first.
func TestProgressStopped(t *testing.T) {
	for _, signalFirst := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			b := newBench(showLine, Options{}, Snapshot{Total: -1})
			b.begin()
			b.pass(10*time.Second, 1<<20)
			b.take()
			goOn := b.standStill()
			if signalFirst {
				b.cont <- syscall.SIGCONT
				goOn()
			} else {
				goOn()
				time.Sleep(continueGrace / 2)
				b.cont <- syscall.SIGCONT
			}
			b.pass(time.Second, 1<<20)
			frames := b.take()
			last := frames[len(frames)-1]
			b.Stop(true)
			if rate := b.Meter.speed.rate(rateWindow); !strings.Contains(last, "0:00:11 [") || strings.Contains(last, "stalled") || rate < 0.9*(1<<20) || rate > 1.1*(1<<20) {
				t.Errorf("signal first %v: %q", signalFirst, last)
			}
			if d := b.Stopped(); d < time.Hour-frameInterval || d > time.Hour+frameInterval {
				t.Errorf("signal first %v: stopped for %v", signalFirst, d)
			}
		})
	}
}

// TestProgressContinued: SIGCONT alone, which any process may send to a process that runs,
// takes nothing off the clock; whatever is shown and however seldom.
func TestProgressContinued(t *testing.T) {
	for _, m := range []mode{showNothing, showLine, showNumbers} {
		for _, interval := range []time.Duration{frameInterval, plainInterval, time.Minute} {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(m, Options{}, Snapshot{Total: -1})
				b.interval = interval
				b.begin()
				for range 5 {
					b.pass(7*time.Second+300*time.Millisecond, 1<<20)
					b.cont <- syscall.SIGCONT
					synctest.Wait()
				}
				b.Stop(true)
				if b.Stopped() != 0 {
					t.Errorf("mode %d, every %v: stopped for %v", m, interval, b.Stopped())
				}
			})
		}
	}
}

// TestProgressClock: the clock starts when a peer is there and not with the tick after
// it, however long that takes.
func TestProgressClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(showEvents, Options{JSON: true}, Snapshot{Total: -1, Phase: Connecting})
		b.interval = 5 * time.Second
		b.begin()
		time.Sleep(5*time.Second + time.Millisecond)
		b.set(Snapshot{Total: -1})
		b.Begin()
		b.pass(5*time.Second, 1000)
		if got := strings.Join(b.take(), ""); !strings.Contains(got, `"seconds":4.999,"rate":1000,`) && !strings.Contains(got, `"seconds":4.999,"rate":990,`) {
			t.Errorf("%s", got)
		}
		b.Stop(true)
	})
}

// TestProgressLate: a process that only got no processor for a while has lost
// nothing: without SIGCONT the time counts.
func TestProgressLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(showLine, Options{}, Snapshot{Total: -1})
		b.begin()
		b.pass(time.Second, 1<<20)
		goOn := b.standStill()
		goOn()
		b.pass(time.Second, 1<<20)
		b.Stop(true)
		if frames := b.take(); b.Stopped() != 0 || !strings.Contains(frames[len(frames)-2], "1:00:02 [") {
			t.Errorf("stopped for %v, last %q", b.Stopped(), frames[len(frames)-2])
		}
	})
}

// TestProgressCurve: with -v the curve is told, two lines within 80 columns.
func TestProgressCurve(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(showNothing, Options{Verbose: true}, Snapshot{Total: -1})
		b.LookupEnv = func(name string) (string, bool) { return "C.UTF-8", name == "LANG" }
		b.begin()
		b.pass(time.Minute, 5<<20)
		b.pass(time.Minute, 10<<20)
		b.Stop(true)
		b.Curve()
		got := b.out.String()
		if !strings.HasPrefix(got, "zcp: [▅▅▅▅") && !strings.HasPrefix(got, "zcp: [▄▄▄▄") || !strings.Contains(got, "██] each bar is ") || !strings.Contains(got, "\nzcp: rate: lowest ") {
			t.Errorf("%s", got)
		}
		for _, row := range strings.Split(got, "\n") {
			if n := len([]rune(row)); n > 80 {
				t.Errorf("%d columns: %s", n, row)
			}
		}
	})
	b := newBench(showNothing, Options{}, Snapshot{})
	b.Curve()
	if got := b.take(); len(got) != 0 {
		t.Errorf("a curve of nothing: %q", got)
	}
}

// TestProgressFirstByte: before a byte has moved a prompt of the program that sends it may be on the screen.
func TestProgressFirstByte(t *testing.T) {
	for _, net := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			b := newBench(showLine, Options{}, Snapshot{Total: 100, Waiting: Source})
			b.Meter.FromNet = net
			b.begin()
			b.pass(1900*time.Millisecond, 0)
			if got := b.take(); len(got) != 0 {
				t.Errorf("drawn before a byte: %q", got)
			}
			b.pass(time.Second, 0)
			if got := strings.Join(b.take(), ""); strings.Contains(got, "stalled 2s, waiting for the sender") != net {
				t.Errorf("net %v: %q", net, got)
			}
			b.pass(200*time.Millisecond, 100)
			if got := b.take(); len(got) == 0 {
				t.Error("nothing is drawn after the first byte")
			}
			b.Stop(true)
		})
	}
}

// TestProgressDelay: with -D there is no line before that.
func TestProgressDelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(showLine, Options{Delay: 3 * time.Second}, Snapshot{Total: -1})
		b.begin()
		b.pass(2900*time.Millisecond, 1000)
		if got := b.take(); len(got) != 0 {
			t.Errorf("drawn before: %q", got)
		}
		b.pass(200*time.Millisecond, 1000)
		if got := b.take(); len(got) == 0 {
			t.Error("never drawn")
		}
		b.Stop(true)
	})
}

// TestProgressPlain: in a file every line is one of its own, with the time where that is wanted.
func TestProgressPlain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(showLine, Options{Force: true, Name: "in", LogTime: true}, Snapshot{Total: -1})
		b.screen = noTerminalOf(func(string) (string, bool) { return "30", true })
		b.interval = time.Second
		b.Printer.now = func() time.Time { return time.Date(2026, 11, 28, 9, 0, 0, 0, time.UTC) }
		b.begin()
		b.pass(2*time.Second, 1000)
		b.Stop(true)
		got := strings.Join(b.take(), "")
		if want := "2026-11-28T09:00:00.000Z in:   1000B [  1000B/s]\n2026-11-28T09:00:00.000Z in: 1.95KiB [  1000B/s]\n"; got != want {
			t.Errorf("got  %q\nwant %q", got, want)
		}
	})
}

// TestProgressAttempt: connecting is shown where it takes longer than usual, and gone when the connection stands.
func TestProgressAttempt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(showLine, Options{}, Snapshot{Total: -1, Phase: Connecting})
		until := time.Now().Add(3 * time.Minute)
		b.Attempt = func() (Attempt, bool) {
			return Attempt{Target: "host:9000", Tries: 3, Reason: "refused", Until: until}, true
		}
		b.begin()
		b.pass(400*time.Millisecond, 0)
		if got := b.take(); len(got) != 0 {
			t.Errorf("drawn at once: %q", got)
		}
		b.pass(600*time.Millisecond, 0)
		if got := strings.Join(b.take(), ""); !strings.HasSuffix(got, "connecting to host:9000, refused 3 times, 2m59s left\x1b[J\r") {
			t.Errorf("got %q", got)
		}
		b.Ask()
		synctest.Wait()
		if got := strings.Join(b.take(), ""); !strings.Contains(got, "zcp: connecting to host:9000, refused 3 times, 2m59s left\n") {
			t.Errorf("asked: %q", got)
		}
		b.pass(200*time.Millisecond, 0)
		b.take()
		b.set(Snapshot{Total: -1})
		b.pass(300*time.Millisecond, 0)
		if got := strings.Join(b.take(), ""); got != "\r\x1b[J" {
			t.Errorf("the connection stands: %q", got)
		}
		b.Stop(true)
	})
}

func TestAttempt(t *testing.T) {
	now := time.Now()
	for want, a := range map[string]Attempt{
		"connecting to h:1":                              {Target: "h:1"},
		"connecting to h:1, 10s left":                    {Target: "h:1", Until: now.Add(10 * time.Second)},
		"connecting to h:1, no answer in time once":      {Target: "h:1", Tries: 1, Reason: "no answer in time"},
		"connecting to h:1, refused 9 times, 2m10s left": {Target: "h:1", Tries: 9, Reason: "refused", Until: now.Add(130 * time.Second)},
		"connecting to h:1, refused 9 times, 0s left":    {Target: "h:1", Tries: 9, Reason: "refused", Until: now.Add(-time.Minute)},
	} {
		if got := a.String(now); got != want && !strings.HasSuffix(want, "0s left") {
			t.Errorf("got %q, want %q", got, want)
		}
		for columns := range 60 {
			if line := a.Render(columns, now); len(line) > max(0, columns-1) {
				t.Errorf("%d columns: %q", columns, line)
			}
		}
	}
}
