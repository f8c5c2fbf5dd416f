package relay

import (
	"testing"
	"time"
)

// TestWatchItself: loops are called in one after the other while the first is busy, and let go when fewer do.
func TestWatchItself(t *testing.T) {
	r := &Relay{Loops: 4}
	r.accepting.Store(1)
	l := &loop{r: r}
	ms := int64(time.Millisecond)
	spend := func(busy, waited, times int64) int32 {
		for range times {
			l.now += busy * ms
			began := l.now
			l.now += waited * ms
			l.watchItself(began)
		}
		return r.accepting.Load()
	}
	for _, step := range []struct {
		busy, waited, times int64 // ms busy, ms waited, so often
		want                int32
	}{
		{1, 9, 100, 1},    // little to do
		{8, 2, 100, 1},    // much to do, but it waits
		{10, 0, 2, 1},     // busy, not long enough
		{5, 5, 1, 1},      // and then not
		{10, 0, 3, 2},     // busy long enough
		{10, 0, 6, 4},     // still
		{10, 0, 50, 4},    // there are no more
		{5, 5, 100, 4},    // 4 half busy: 3 would have 2 thirds to do
		{3, 7, 9, 4},      // 3 would have 40 percent, not long enough
		{3, 7, 1, 3},      // long enough
		{3, 7, 10, 2},     // 2 would have 45
		{3, 7, 100, 2},    // 1 would have 60
		{1, 9, 10, 1},     // 1 would have 20
		{0, 10_000, 3, 1}, // idle
		{500, 0, 1, 2},    // one long turn
		{0, 10_000, 1, 1}, // and idle: at once, as it lasted
	} {
		if n := spend(step.busy, step.waited, step.times); n != step.want {
			t.Errorf("%+v: %d loops accept", step, n)
		}
	}
	r.Loops = 1
	if n := spend(10, 0, 100); n != 1 {
		t.Errorf("%d of 1 loop accept", n)
	}
}
