package transfer_test

import (
	"strings"
	"testing"
	"time"

	"github.com/zcp-go/zcp/transfer"
)

// The times of Stats are those of the steady clock, which no set of the wall clock moves: what At returns
// has a reading of it, so that a difference is made of that.
func TestStatsClock(t *testing.T) {
	var s transfer.Stats
	now := time.Now()
	at := s.At(transfer.Steady(now))
	if d := at.Sub(now); d != 0 {
		t.Errorf("%v away", d)
	}
	if !strings.Contains(at.String(), " m=") {
		t.Errorf("%v has no reading of the steady clock", at)
	}
}
