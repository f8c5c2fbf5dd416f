package show

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/zcp-go/zcp/cmd/text"
)

// tape feeds a Meter with a snapshot every tick and returns the last frame.
type tape struct {
	Meter
	now time.Time
	s   Snapshot
}

func newTape(total int64) *tape {
	return &tape{Meter: Meter{From: "the sender", To: "the receiver"}, now: time.Unix(1000, 0), s: Snapshot{Total: total}}
}

// run lets d pass in ticks, with perSecond bytes moving.
func (t *tape) run(d, tick time.Duration, perSecond int64) Frame {
	var f Frame
	for end := t.now.Add(d); t.now.Before(end); {
		t.now = t.now.Add(tick)
		t.s.Bytes += perSecond * int64(tick) / int64(time.Second)
		t.s.Acked = t.s.Bytes
		f = t.Update(t.s, t.now)
	}
	return f
}

func near(got, want float64) bool { return math.Abs(got-want) <= 0.001*want }

func TestMeterRate(t *testing.T) {
	for _, tick := range []time.Duration{10 * time.Millisecond, 100 * time.Millisecond, time.Second, 5 * time.Second} {
		m := newTape(1 << 40)
		m.Update(m.s, m.now)
		f := m.run(time.Minute, tick, 1e6)
		if !near(f.Rate, 1e6) || f.Elapsed != time.Minute || f.Done != 60e6 {
			t.Errorf("tick %v: %+v", tick, f)
		}
		if want := float64(1<<40-60e6) / 1e6; !near(f.ETA.Seconds(), want) {
			t.Errorf("tick %v: ETA %v, want %v s", tick, f.ETA, want)
		}
		// a change is in the rate after two seconds (or ticks), in the ETA after ten
		f = m.run(max(2*time.Second+sampleGap, 2*tick), tick, 10e6)
		if f.Rate < 9.9e6 {
			t.Errorf("tick %v: the rate is still %v", tick, text.Rate(f.Rate))
		}
		f = m.run(11*time.Second, tick, 10e6)
		if left := float64(m.s.Total-m.s.Acked) / 10e6; f.ETA.Seconds() > 1.05*left {
			t.Errorf("tick %v: the ETA is %v, want %v s", tick, f.ETA, left)
		}
	}
}

func TestMeterFirstFrame(t *testing.T) {
	m := newTape(100)
	m.s.Bytes, m.s.Acked = 50, 50
	if f := m.Update(m.s, m.now); f.Rate != 0 || f.ETA != -1 || f.Elapsed != 0 || f.Done != 50 {
		t.Errorf("%+v", f)
	}
	if (&Speed{}).rate(time.Second) != 0 {
		t.Error("a rate without samples")
	}
}

// TestMeterAcked: the line shows what was acknowledged, never what is only on
// its way, and 100 % not before the last byte is there.
func TestMeterAcked(t *testing.T) {
	m := newTape(100)
	m.s.Bytes, m.s.Acked = 100, 99
	if f := m.Update(m.s, m.now); f.Percent() != 99 || f.Done != 99 {
		t.Errorf("%+v", f)
	}
	m.s.Acked = 100
	if f := m.Update(m.s, m.now); f.Percent() != 100 || f.ETA != 0 {
		t.Errorf("%+v", f)
	}
}

func TestMeterStall(t *testing.T) {
	for _, tc := range []struct {
		name    string
		total   int64
		waiting Side
		fromNet bool
		after   time.Duration
		want    string
	}{
		{"not yet", 1 << 30, Destination, false, 1900 * time.Millisecond, ""},
		{"receiver", 1 << 30, Destination, false, 12 * time.Second, "stalled 12s, waiting for the receiver"},
		{"sender", 1 << 30, Source, true, 12 * time.Second, "stalled 12s, waiting for the sender"},
		{"neither side known", 1 << 30, Neither, false, 12 * time.Second, "stalled 12s"},
		{"sender of unknown size, early", -1, Source, true, 4 * time.Second, "stalled 4s, waiting for the sender"},
		{"sender of unknown size", -1, Source, true, 12 * time.Second, "stalled 12s, waiting for the sender to close (nc needs -N)"},
		{"sender of all", 100 * ((1 << 20) / 10), Source, true, 12 * time.Second, "stalled 12s, waiting for the sender to close (nc needs -N)"},
		{"stdin", -1, Source, false, 12 * time.Second, "stalled 12s, waiting for the sender"},
		{"long", -1, Neither, false, 62 * time.Second, "stalled 1m02s"},
		{"very long", -1, Neither, false, 2*time.Hour + 5*time.Minute, "stalled 2h05m"},
	} {
		m := newTape(tc.total)
		m.FromNet, m.s.Waiting = tc.fromNet, tc.waiting
		m.Update(m.s, m.now)
		if f := m.run(10*time.Second, 100*time.Millisecond, 1<<20); f.Remark != (Remark{}) {
			t.Errorf("%s: %q while bytes move", tc.name, f.Remark.Long)
		}
		f := m.run(tc.after, 100*time.Millisecond, 0)
		if f.Remark.Long != tc.want {
			t.Errorf("%s: %q, want %q", tc.name, f.Remark.Long, tc.want)
		}
		if tc.want != "" && (f.Rate != 0 || f.ETA > 0) {
			t.Errorf("%s: %v/s, ETA %v in a stall", tc.name, f.Rate, f.ETA)
		}
		if f := m.run(100*time.Millisecond, 100*time.Millisecond, 10); f.Remark != (Remark{}) {
			t.Errorf("%s: %q after it moved again", tc.name, f.Remark.Long)
		}
	}
}

// TestMeterAcksMove: bytes that are acknowledged while none is written are no stall.
func TestMeterAcksMove(t *testing.T) {
	m := newTape(1000)
	m.s.Bytes = 1000
	for range 100 {
		m.now = m.now.Add(time.Second)
		m.s.Acked++
		if f := m.Update(m.s, m.now); f.Remark != (Remark{}) {
			t.Fatalf("%q", f.Remark.Long)
		}
	}
}

func TestMeterPhases(t *testing.T) {
	m := newTape(-1)
	for phase, want := range map[Phase]string{Closing: "closing", Storing: "fsync", Verifying: "verifying"} {
		m.s.Phase = phase
		if f := m.Update(m.s, m.now); f.Remark.Short != want {
			t.Errorf("phase %d: %q", phase, f.Remark.Long)
		}
	}
}

// TestMeterSkip: a stopped process neither stalls nor slows down.
func TestMeterSkip(t *testing.T) {
	m := newTape(1 << 40)
	m.Update(m.s, m.now)
	before := m.run(time.Minute, 100*time.Millisecond, 1<<20)
	m.now = m.now.Add(time.Hour)
	m.Skip(time.Hour)
	after := m.run(100*time.Millisecond, 100*time.Millisecond, 1<<20)
	if !near(after.Rate, before.Rate) || after.Elapsed != before.Elapsed+100*time.Millisecond || after.Remark != (Remark{}) {
		t.Errorf("before %+v, after %+v", before, after)
	}
}

// TestSpeedKeepsWindow: however often it is asked, the meter reaches back as far
// as the widest window.
func TestSpeedKeepsWindow(t *testing.T) {
	for _, tick := range []time.Duration{time.Millisecond, 100 * time.Millisecond, 149 * time.Millisecond, 151 * time.Millisecond} {
		var r Speed
		at := time.Unix(0, 0)
		for range 100_000 {
			at = at.Add(tick)
			r.Add(at, 0)
			if r.len > 1 && r.newest(0).at != at {
				t.Fatalf("tick %v: the newest sample is not there", tick)
			}
		}
		if reach := at.Sub(r.newest(r.len - 1).at); reach < etaWindow {
			t.Errorf("tick %v: reaches back %v", tick, reach)
		}
	}
}

func BenchmarkMeter(b *testing.B) {
	m := newTape(1 << 50)
	b.ReportAllocs()
	for b.Loop() {
		m.run(100*time.Millisecond, 100*time.Millisecond, 1<<30)
	}
}

// TestMeterOffset: what was there before counts for percent, ETA and the size that is shown,
// and never for the rate.
func TestMeterOffset(t *testing.T) {
	m := newTape(1000)
	m.s.Offset = 500
	if f := m.Update(m.s, m.now); f.Done != 500 || f.Percent() != 50 || f.Rate != 0 {
		t.Errorf("at the start %+v", f)
	}
	f := m.run(2*time.Second, 100*time.Millisecond, 100)
	if f.Done != 700 || f.Percent() != 70 || !near(f.Rate, 100) || !near(f.ETA.Seconds(), 3) || f.number() != 70 {
		t.Errorf("on the way %+v", f)
	}
	if e := f.event(m.last, ForMost); e.Bytes != 200 || e.Offset != 500 || e.Size != 1000 {
		t.Errorf("the event %+v", e)
	}
	f = m.run(3*time.Second, 100*time.Millisecond, 100)
	if f.Done != 1000 || f.Percent() != 100 || f.ETA != 0 {
		t.Errorf("at the end %+v", f)
	}
	m.FromNet, m.s.Waiting = true, Source
	if f = m.run(6*time.Second, 100*time.Millisecond, 0); f.Remark != unclosed(6*time.Second) {
		t.Errorf("complete with its offset, and the sender keeps its side open: %+v", f)
	}
	m = newTape(-1)
	m.s.Offset = 500
	if f = m.run(time.Second, 100*time.Millisecond, 100); f.number() != 600 {
		t.Errorf("of unknown size: %d", f.number())
	}
}

// TestOffsetInEvents: an offset is in progress and end, and only where there is one; the rate
// of the end is that of the bytes that moved.
func TestOffsetInEvents(t *testing.T) {
	var w writes
	p := Printer{W: &w, Options: Options{JSON: true}, now: noon}
	for _, offset := range []int64{0, 500} {
		p.Emit(Done("received", Snapshot{Bytes: 100, Acked: 100, Offset: offset}, 2*time.Second))
	}
	want := []string{`"rate":50,"calls":0`, `"rate":50,"offset":500,"calls":0`}
	for i, line := range w.list {
		if !strings.Contains(line, want[i]) {
			t.Errorf("%s is not in %s", want[i], line)
		}
	}
}
