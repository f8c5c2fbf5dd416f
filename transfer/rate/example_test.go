package rate_test

import (
	"fmt"
	"time"

	"github.com/zcp-go/zcp/transfer/rate"
)

// A Limiter never sleeps: it says how much may be moved now, and when to ask again.
func ExampleLimiter() {
	l := rate.Limiter{Rate: 1000 * 1000}
	now := time.Now()
	began, sent := now, int64(0)
	for sent < 500*1000 {
		n, wait := l.Quantum(now)
		if wait > 0 {
			now = now.Add(wait) // a program sleeps here
			continue
		}
		n = min(n, 500*1000-sent)
		sent += n
		l.Took(n, now)
	}
	fmt.Println(now.Sub(began).Round(100 * time.Millisecond))
	// Output: 500ms
}
