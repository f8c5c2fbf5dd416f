package show

import (
	"strings"
	"testing"
	"time"
)

// Of several deliveries the line says how many have ended, and names the slowest where that is waited for.
func TestSeveralDeliveries(t *testing.T) {
	now := time.Unix(0, 0)
	m := Meter{From: "the source", To: "the receiver"}
	s := Snapshot{Bytes: 50, Acked: 50, Total: 100, Waiting: Destination, Targets: 8, Ended: 3, To: "h3:9000"}
	f := m.Update(s, now)
	if got := f.Render(80); !strings.Contains(got, "] 3/8 done  50% [") || len(got) > 79 {
		t.Errorf("%q", got)
	}
	f = m.Update(s, now.Add(5*time.Second))
	if got := f.Render(120); !strings.Contains(got, "] 3/8 done  50% [") || !strings.HasSuffix(got, "stalled 5s, waiting for h3:9000") {
		t.Errorf("%q", got)
	}
	s.Targets = 0
	if f = m.Update(s, now); strings.Contains(f.Render(80), "done") {
		t.Errorf("%q", f.Render(80))
	}
}
