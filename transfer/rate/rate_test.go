package rate

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// clock is a time that only moves when it is told to.
type clock struct{ now time.Time }

func newClock() *clock                     { return &clock{time.Unix(1e9, 0)} }
func (c *clock) pass(d time.Duration)      { c.now = c.now.Add(d) }
func (c *clock) since(t time.Time) float64 { return c.now.Sub(t).Seconds() }

// mover moves bytes as a pump would: what the limiter allows, at most quantum a
// call, at speed bytes a second, oversleeping each wait a little.
type mover struct {
	clock     *clock
	quantum   int64
	speed     float64
	oversleep func() time.Duration
	moved     int64
	waits     int
	last      time.Time // when a byte was last moved
}

func (m *mover) run(l *Limiter, d time.Duration) {
	for end := m.clock.now.Add(d); m.clock.now.Before(end); {
		n, wait := l.Quantum(m.clock.now)
		if n == 0 {
			m.waits++
			m.clock.pass(wait + m.oversleep())
			continue
		}
		n = min(n, m.quantum)
		m.clock.pass(time.Duration(float64(n)/m.speed*1e9) + 2*time.Microsecond)
		l.Took(n, m.clock.now)
		m.moved += n
		m.last = m.clock.now
	}
}

func never() time.Duration { return 0 }

// TestLimiterExact: from 100 kB/s to 1 GB/s, whatever a call moves and however
// late a wait ends, the rate is right and the waits are few.
func TestLimiterExact(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	lateness := map[string]func() time.Duration{
		"on time":   never,
		"usual":     func() time.Duration { return time.Duration(random.IntN(1200)) * time.Microsecond },
		"loaded":    func() time.Duration { return time.Duration(random.IntN(60)) * time.Millisecond },
		"very late": func() time.Duration { return 240 * time.Millisecond },
	}
	for _, rate := range []int64{100e3, 5e6, 100e6, 1e9} {
		for _, quantum := range []int64{1500, 64 << 10, 1 << 20} {
			for name, late := range lateness {
				if quantum == 1500 && rate == 1e9 {
					continue // 2 us a call: no more than 577 MB/s
				}
				c := newClock()
				m := mover{clock: c, quantum: 1 << 20, speed: 2.5e9, oversleep: late}
				l := &Limiter{Rate: rate}
				start := c.now
				m.run(l, max(2*time.Second, min(10*time.Second, time.Duration(20e12*float64(quantum)/float64(rate)))))
				took := m.last.Sub(start).Seconds()
				// the last wait may have been late, and not be made up for yet
				if got := float64(m.moved) / took / float64(rate); math.Abs(got-1) > max(0.02, 0.25/took) {
					t.Errorf("%d B/s by %d, %s: %+.2f %% in %.1f s", rate, quantum, name, 100*(got-1), took)
				}
				if waits := float64(m.waits) / took; waits > 100 {
					t.Errorf("%d B/s by %d, %s: %.0f waits a second", rate, quantum, name, waits)
				}
			}
		}
	}
}

// TestLimiterPause: after a pause of the source, whenever it falls and however
// late the last wait was, no more than one slot's worth comes at once.
func TestLimiterPause(t *testing.T) {
	const rate = 10e6
	for _, late := range []time.Duration{0, 100 * time.Millisecond} {
		for _, pause := range []time.Duration{50 * time.Millisecond, time.Second, time.Hour} {
			c := newClock()
			l := &Limiter{Rate: rate}
			m := mover{clock: c, quantum: 64 << 10, speed: 1e9, oversleep: func() time.Duration { return late }}
			m.run(l, time.Second)
			for n := int64(0); n == 0; { // the pause begins when there was something to take
				var wait time.Duration
				n, wait = l.Quantum(c.now)
				c.pass(wait)
			}
			c.pass(pause)
			m.moved = 0
			for {
				n, wait := l.Quantum(c.now)
				if wait > 0 {
					break
				}
				m.moved += n
				l.Took(n, c.now)
			}
			if most := rate * rateSlot.Seconds(); float64(m.moved) > 1.001*most {
				t.Errorf("pause of %v: %d bytes at once, want at most %.0f", pause, m.moved, most)
			}
		}
	}
}

// TestLimiterSlowDestination: time spent inside a call that could not go on is
// no credit either.
func TestLimiterSlowDestination(t *testing.T) {
	const rate = 10e6
	c := newClock()
	l := &Limiter{Rate: rate}
	m := mover{clock: c, quantum: 4096, speed: 4096 / 10.0, oversleep: never} // ten seconds a call
	m.run(l, time.Minute)
	n, _ := l.Quantum(c.now)
	if most := int64(rate * rateSlot.Seconds()); n > most {
		t.Errorf("%d bytes at once, want at most %d", n, most)
	}
}

// TestLimiterSlowSource: a source below the limit is not slowed down.
func TestLimiterSlowSource(t *testing.T) {
	c := newClock()
	l := &Limiter{Rate: 1e6}
	var waited time.Duration
	l.Quantum(c.now)
	c.pass(rateSlot)
	for range 1000 { // 9000 bytes every 10 ms: nine tenths of the limit
		for left := int64(9000); left > 0; {
			n, wait := l.Quantum(c.now)
			if wait > 0 {
				c.pass(wait)
				waited += wait
				continue
			}
			n = min(n, left)
			l.Took(n, c.now)
			left -= n
		}
		c.pass(10 * time.Millisecond)
	}
	if waited > 0 {
		t.Errorf("waited %v for nothing", waited)
	}
}

// TestLimiterHeldUpSource: a source that was stopped by our own wait, and needs a
// moment to get going again, does not lower the rate.
func TestLimiterHeldUpSource(t *testing.T) {
	for _, rate := range []int64{100e3, 100e6, 1e9} {
		c := newClock()
		m := mover{clock: c, quantum: 1 << 20, speed: 2 * float64(rate), oversleep: never}
		l := &Limiter{Rate: rate}
		start := c.now
		for range 200 {
			m.run(l, 10*time.Millisecond) // this ends with a wait, or just after one
			l.Quantum(c.now)
			c.pass(5 * time.Millisecond)
		}
		if got := float64(m.moved) / c.since(start) / float64(rate); math.Abs(got-1) > 0.02 {
			t.Errorf("%d B/s: %+.2f %%", rate, 100*(got-1))
		}
	}
}

// TestLimiterOversleepBound: a wait that took seconds gives 250 ms of credit.
func TestLimiterOversleepBound(t *testing.T) {
	c := newClock()
	l := &Limiter{Rate: 1e6}
	for {
		n, wait := l.Quantum(c.now)
		if wait > 0 {
			c.pass(wait + time.Minute)
			break
		}
		l.Took(n, c.now)
	}
	n, _ := l.Quantum(c.now)
	if want := int64(1e6 * (rateSlot + maxOversleep).Seconds()); n != want {
		t.Errorf("%d bytes, want %d", n, want)
	}
}

// TestLimiterEarly: asking before the wait is over shortens nothing and loses
// nothing.
func TestLimiterEarly(t *testing.T) {
	c := newClock()
	l := &Limiter{Rate: 1e6}
	start, moved := c.now, int64(0)
	for c.since(start) < 10 {
		n, _ := l.Quantum(c.now)
		l.Took(n, c.now)
		moved += n
		c.pass(time.Millisecond) // whatever the wait was
	}
	if got := float64(moved) / c.since(start) / 1e6; math.Abs(got-1) > 0.01 {
		t.Errorf("%+.2f %%", 100*(got-1))
	}
}

// TestLimiterMore: what was moved beyond the grant is paid for afterwards.
func TestLimiterMore(t *testing.T) {
	c := newClock()
	l := &Limiter{Rate: 1e6}
	l.Quantum(c.now)
	l.Took(1e6, c.now)
	_, wait := l.Quantum(c.now)
	if wait < 990*time.Millisecond || wait > time.Second+rateSlot {
		t.Errorf("wait %v for a second's worth of debt", wait)
	}
	if n, again := l.Quantum(c.now.Add(wait)); n == 0 {
		t.Errorf("still %v after the wait", again)
	}
}

func TestLimiterTiny(t *testing.T) {
	for _, rate := range []int64{1, 7, 1000} {
		c := newClock()
		m := mover{clock: c, quantum: 1 << 20, speed: 1e9, oversleep: never}
		start := c.now
		m.run(&Limiter{Rate: rate}, 1000*time.Second)
		if got := float64(m.moved) / c.since(start) / float64(rate); math.Abs(got-1) > 0.01 {
			t.Errorf("%d B/s: %+.2f %%", rate, 100*(got-1))
		}
	}
}

func TestLimiterNone(t *testing.T) {
	for _, l := range []*Limiter{nil, {}, {Rate: -1}} {
		for range 3 {
			l.Took(math.MaxInt64, time.Now())
			if n, wait := l.Quantum(time.Now()); n != math.MaxInt64 || wait != 0 {
				t.Errorf("%+v: %d, %v", l, n, wait)
			}
		}
	}
}

// TestLimiterHuge: nothing overflows at either end.
func TestLimiterHuge(t *testing.T) {
	c := newClock()
	l := &Limiter{Rate: math.MaxInt64}
	for range 100 {
		n, wait := l.Quantum(c.now)
		if n <= 0 && wait <= 0 {
			t.Fatalf("%d, %v", n, wait)
		}
		l.Took(n, c.now)
		c.pass(time.Second)
	}
	l = &Limiter{Rate: 1}
	l.Took(math.MaxInt64, c.now)
	if n, wait := l.Quantum(c.now); n != 0 || wait <= 0 {
		t.Errorf("after a debt of ages: %d, %v", n, wait)
	}
}

// crowdOf runs n pumps on one limiter, each waking when it was told to, and
// returns what each moved in d.
func crowdOf(n int, rate int64, d time.Duration) (moved []int64, waits int) {
	c := newClock()
	l := &Limiter{Rate: rate}
	moved = make([]int64, n)
	shares := make([]Share, n)
	due := make([]time.Time, n)
	for i := range due {
		shares[i].Of, due[i] = l, c.now
	}
	for end := c.now.Add(d); c.now.Before(end); {
		next := end
		for i := range due {
			for !due[i].After(c.now) {
				got, wait := shares[i].Quantum(c.now)
				if wait > 0 {
					waits++
					due[i] = c.now.Add(wait)
					continue
				}
				got = min(got, 1<<20)
				c.pass(time.Duration(10_000 + got/4)) // a call, at 4 GB/s
				shares[i].Took(got, c.now)
				moved[i] += got
			}
			if due[i].Before(next) {
				next = due[i]
			}
		}
		if next.After(c.now) {
			c.now = next
		}
	}
	return moved, waits
}

// TestLimiterShared: many on one limiter get the rate together and the same
// each, though they always ask in the same order; and they do not wake often.
func TestLimiterShared(t *testing.T) {
	for _, n := range []int{1, 2, 10, 50, 1000} {
		for _, rate := range []int64{1e6, 100e6, 1e9} {
			const d = time.Minute
			moved, waits := crowdOf(n, rate, d)
			var sum int64
			for _, m := range moved {
				sum += m
			}
			slices.Sort(moved)
			least, most := moved[0], moved[(n-1)*99/100] // the very first gets a slot before the others have asked
			if got := float64(sum) / d.Seconds() / float64(rate); math.Abs(got-1) > 0.02 {
				t.Errorf("%d pumps, %d B/s: %+.2f %% together", n, rate, 100*(got-1))
			}
			if float64(least) < 0.9*float64(most) {
				t.Errorf("%d pumps, %d B/s: the least got %d, the most %d", n, rate, least, most)
			}
			if waits := float64(waits) / d.Seconds(); waits > max(100, 60*float64(n)) || waits > 2500 {
				t.Errorf("%d pumps, %d B/s: %.0f waits a second", n, rate, waits)
			}
		}
	}
}

// TestLimiterSharedUneven: what those who want little leave over goes to those
// who want more, and those who vanish in the middle take nothing with them.
func TestLimiterSharedUneven(t *testing.T) {
	const rate = 10e6
	c := newClock()
	l := &Limiter{Rate: rate}
	greedy := Share{Of: l}
	var modest, moved int64
	start := c.now
	for round := range 20_000 {
		vanishing := Share{Of: l}
		vanishing.Quantum(c.now)
		small := Share{Of: l}
		if n, _ := small.Quantum(c.now); n > 0 {
			n = min(n, 10)
			small.Took(n, c.now)
			modest += n
		}
		for {
			n, _ := greedy.Quantum(c.now)
			if n == 0 {
				break
			}
			greedy.Took(n, c.now)
			moved += n
		}
		c.pass(time.Duration(500+round%700) * time.Microsecond)
	}
	if got := float64(moved+modest) / c.since(start) / rate; math.Abs(got-1) > 0.02 {
		t.Errorf("%+.2f %% together", 100*(got-1))
	}
	if modest == 0 {
		t.Error("those who want little got nothing")
	}
}

// TestLimiterConcurrent is for the race detector; and no more is given out than
// the clock allows.
func TestLimiterConcurrent(t *testing.T) {
	l := &Limiter{Rate: 1e9}
	var now atomic.Int64 // nanoseconds
	var moved atomic.Int64
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			share := Share{Of: l}
			for range 10_000 {
				at := time.Unix(0, now.Add(2_000))
				if n, _ := share.Quantum(at); n > 0 {
					n = min(n, 4096)
					moved.Add(n)
					share.Took(n, at)
				}
			}
		})
	}
	all.Wait()
	most := float64(now.Load()) + float64(rateSlot+maxOversleep) + 4*4096 // at a byte a nanosecond
	if got := float64(moved.Load()); got > most || got < 0.5*float64(now.Load()) {
		t.Errorf("%.0f bytes in %d ns", got, now.Load())
	}
}

// FuzzLimiter lets time and takings go any way: never more than the rate, one
// slot and one overslept wait; never a wait of nothing; never stuck.
func FuzzLimiter(f *testing.F) {
	f.Add(uint64(1), int64(1e6))
	f.Add(uint64(2), int64(1e9))
	f.Add(uint64(3), int64(1))
	f.Fuzz(func(t *testing.T, seed uint64, rate int64) {
		if rate < 1 || rate > 1e12 {
			return
		}
		random := rand.New(rand.NewPCG(seed, 0))
		c := newClock()
		l := &Limiter{Rate: rate}
		start, moved := c.now, float64(0)
		slot := max(rateSlot, time.Duration(1e9/rate)+1)
		for range 500 {
			n, wait := l.Quantum(c.now)
			switch {
			case n > 0 && wait == 0:
				n = 1 + random.Int64N(n)
				c.pass(time.Duration(random.Int64N(int64(30 * time.Millisecond))))
				l.Took(n, c.now)
				moved += float64(n)
			case n == 0 && wait > 0 && wait <= slot+maxRateSlot:
				c.pass(wait + time.Duration(random.Int64N(int64(400*time.Millisecond))))
			default:
				t.Fatalf("Quantum = %d, %v", n, wait)
			}
			if most := float64(rate)*(c.since(start)+(slot+maxOversleep).Seconds()) + 1; moved > 1.0001*most {
				t.Fatalf("%.0f bytes after %v, want at most %.0f", moved, c.now.Sub(start), most)
			}
		}
	})
}

func BenchmarkQuantumTook(b *testing.B) {
	l := &Limiter{Rate: 1e9}
	now := time.Now()
	for b.Loop() {
		n, _ := l.Quantum(now)
		l.Took(min(n, 65536), now)
		now = now.Add(65536)
	}
}

// BenchmarkLimiter moves nothing against the real clock for a second and
// reports how far off the rate is.
func BenchmarkLimiter(b *testing.B) {
	for _, rate := range []int64{100e3, 5e6, 100e6, 1e9} {
		b.Run(fmt.Sprint(rate), func(b *testing.B) {
			for b.Loop() {
				l := &Limiter{Rate: rate}
				var moved, waits int64
				start, last := time.Now(), time.Time{}
				for time.Since(start) < time.Second {
					n, wait := l.Quantum(time.Now())
					if n == 0 {
						waits++
						time.Sleep(wait)
						continue
					}
					n = min(n, 1<<20)
					last = time.Now()
					l.Took(n, last)
					moved += n
				}
				took := last.Sub(start).Seconds()
				b.ReportMetric(100*(float64(moved)/took/float64(rate)-1), "%off")
				b.ReportMetric(float64(waits)/took, "waits/s")
			}
		})
	}
}

// TestLimiterSharedTiny shares so few bytes among so many that a turn of all takes longer than any
// slot: no flow is served twice before all others were served once.
func TestLimiterSharedTiny(t *testing.T) {
	const flows, perSecond, seconds = 30, 20, 6
	for seed := range uint64(50) {
		chance := rand.New(rand.NewPCG(seed, 0))
		l := &Limiter{Rate: perSecond}
		var shares [flows]Share
		var due [flows]time.Time
		var got [flows]int64
		start := time.Unix(1000, 0)
		for i := range flows {
			shares[i].Of, due[i] = l, start.Add(time.Duration(chance.IntN(1000))*time.Microsecond)
		}
		for {
			i := 0
			for j := range flows {
				if due[j].Before(due[i]) {
					i = j
				}
			}
			now := due[i]
			if now.After(start.Add(seconds * time.Second)) {
				break
			}
			n, wait := shares[i].Quantum(now)
			if n > 0 {
				shares[i].Took(n, now)
				got[i] += n
			}
			due[i] = now.Add(wait + time.Duration(1+chance.IntN(100))*time.Microsecond) // wake-ups are late, by chance
		}
		if least, most := slices.Min(got[:]), slices.Max(got[:]); least < 2 || most-least > 2 {
			t.Errorf("seed %d: from %d to %d bytes in %d s: %v", seed, least, most, seconds, got)
		}
	}
}
