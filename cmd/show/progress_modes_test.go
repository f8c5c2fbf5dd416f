package show

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

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
			b := newBench(showNumbers, Options{Numeric: true}, Snapshot{Total: tc.total})
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
		b := newBench(showEvents, Options{JSON: true}, Snapshot{Total: 1000, Waiting: Destination})
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
		d    Options
		want string
	}{
		{"quiet", showNothing, Options{Quiet: true}, "zcp: 1000B 0:00:10 [   100B/s]  50% ETA 0:00:10\n"},
		{"plain", showNothing, Options{}, "zcp: 1000B 0:00:10 [   100B/s]  50% ETA 0:00:10\n"},
		{"line", showLine, Options{}, "\r\x1b[Jzcp: 1000B 0:00:10 [   100B/s]  50% ETA 0:00:10\n"},
		{"json", showNothing, Options{JSON: true, Quiet: true}, `"bytes":1000,"acked":1000,"seconds":10,"rate":100,"size":2000}` + "\n"},
	} {
		synctest.Test(t, func(t *testing.T) {
			b := newBench(tc.m, tc.d, Snapshot{Total: 2000})
			b.begin()
			b.pass(10*time.Second, 100)
			b.take()
			b.Ask()
			synctest.Wait()
			if got := strings.Join(b.take(), ""); !strings.HasSuffix(got, tc.want) || tc.want[0] != '"' && got != tc.want {
				t.Errorf("%s: %q, want %q", tc.name, got, tc.want)
			}
			b.Stop(true)
		})
	}
}

// TestProgressQuiet: with -q the counters are not read before SIGUSR1 asks, and then the present is known.
func TestProgressQuiet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(showNothing, Options{Quiet: true}, Snapshot{Total: 2000, Waiting: Destination})
		b.begin()
		b.pass(10*time.Second, 100)
		for _, want := range []string{"1000B 0:00:10 [   100B/s]  50% ETA 0:00:10", "1000B 0:00:15 [     0B/s]  50% stalled 5s"} {
			b.Ask()
			synctest.Wait()
			if got := strings.Join(b.take(), ""); !strings.HasPrefix(got, "zcp: "+want) {
				t.Errorf("%q, want %q", got, want)
			}
			b.pass(5*time.Second, 0)
		}
		b.Stop(true)
	})
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
		d        Options
		data     bool
		mode     mode
		interval time.Duration
		erases   bool
	}{
		{"terminal", tty, term, Options{}, false, showLine, 100 * time.Millisecond, true},
		{"NO_COLOR changes nothing, there are no colours", tty, map[string]string{"TERM": "xterm", "NO_COLOR": "1"}, Options{}, false, showLine, 100 * time.Millisecond, true},
		{"terminal, -i", tty, term, Options{Interval: 5 * time.Second}, false, showLine, 5 * time.Second, true},
		{"terminal, data on one", tty, term, Options{}, true, showNothing, time.Second, false},
		{"terminal, data on one, -f", tty, term, Options{Force: true}, true, showLine, 100 * time.Millisecond, true},
		{"dumb terminal", tty, map[string]string{"TERM": "dumb"}, Options{}, false, showNothing, time.Second, false},
		{"nameless terminal", tty, nil, Options{}, false, showNothing, time.Second, false},
		{"dumb terminal, -f", tty, map[string]string{"TERM": "dumb"}, Options{Force: true}, false, showLine, 100 * time.Millisecond, false},
		{"terminal, -q", tty, term, Options{Quiet: true}, false, showNothing, time.Second, false},
		{"terminal, -n", tty, term, Options{Numeric: true}, false, showNumbers, time.Second, false},
		{"terminal, --json", tty, term, Options{JSON: true}, false, showEvents, time.Second, false},
		{"terminal, -q --json", tty, term, Options{JSON: true, Quiet: true}, false, showNothing, time.Second, false},
		{"pipe", w, term, Options{}, false, showNothing, time.Second, false},
		{"pipe, -v", w, term, Options{Verbose: true}, false, showNothing, 100 * time.Millisecond, false},
		{"pipe, -f", w, term, Options{Force: true}, false, showLine, time.Second, false},
		{"pipe, -n", w, term, Options{Numeric: true}, false, showNumbers, time.Second, false},
		{"pipe, -n -i", w, term, Options{Numeric: true, Interval: time.Minute}, false, showNumbers, time.Minute, false},
	} {
		p := &Progress{Printer: &Printer{W: tc.to, Options: tc.d}, DataOnTerminal: tc.data,
			LookupEnv: func(name string) (string, bool) { v, ok := tc.env[name]; return v, ok }}
		p.choose()
		erases := p.screen != nil && p.screen.erases()
		if p.mode != tc.mode || p.interval != tc.interval || erases != tc.erases {
			t.Errorf("%s: mode %d, interval %v, erases %v; want %d, %v, %v", tc.name, p.mode, p.interval, erases, tc.mode, tc.interval, tc.erases)
		}
	}
}

// BenchmarkTick is one tick with everything: counters, line, write to a real
// terminal that is not read slowly.
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
