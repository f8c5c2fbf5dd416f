package transfer

import (
	"context"
	"time"
)

// allowance returns how many bytes the next step may move, and waits where the rate
// limit says that it is none.
func (t *Transfer) allowance(ctx context.Context) (int64, error) {
	for {
		n, wait := int64(Quantum), time.Duration(0)
		for _, l := range t.Limits {
			now := time.Now()
			m, d := l.Quantum(now)
			n, wait = min(n, m), max(wait, d)
		}
		if wait <= 0 {
			return n, nil
		}
		start := time.Now()
		err := t.pause(ctx, wait)
		t.Stats.WaitRate.Add(int64(time.Since(start)))
		if err != nil {
			return 0, err
		}
		t.moved = time.Time{}
		t.checkLeases()
	}
}

func (t *Transfer) spend(n int64) {
	for _, l := range t.Limits {
		l.Took(n, time.Now())
	}
}

// YieldEvery is how often a goroutine that moves bytes lets go of its processor. After 10 ms on one
// the runtime's monitor would take it away in each system call that waits, at two futex calls
// each, and look every 20 us for more (runtime.retake). A Gosched at every turn is worse: it
// wakes another thread, which takes the goroutine along to another processor.
const YieldEvery = 5 * time.Millisecond
