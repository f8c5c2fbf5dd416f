package relay

import (
	"time"

	"github.com/zcp-go/zcp/transfer/rate"
)

// limits are what holds for one direction of one connection. It is nil without
// limits, because the memory of an idle connection counts.
type limits struct {
	own *rate.Limiter
	all rate.Share // of Relay.Total
}

func (r *Relay) newLimits() *limits {
	if r.Limit == nil && r.Total == nil {
		return nil
	}
	m := &limits{all: rate.Share{Of: r.Total}}
	if r.Limit != nil {
		m.own = r.Limit()
	}
	return m
}

// allowance returns how many bytes the next step may move, or how long to wait.
func (m *limits) allowance(now time.Time) (n int64, wait time.Duration) {
	own, wait := m.own.Quantum(now)
	if wait > 0 {
		return 0, wait
	}
	all, wait := m.all.Quantum(now)
	return min(own, all), wait
}

func (m *limits) took(n int64, now time.Time) {
	m.own.Took(n, now)
	m.all.Took(n, now)
}

// clock returns the loop's time as the Limiters know it.
func (l *loop) clock() time.Time { return l.r.base.Add(time.Duration(l.now)) }
