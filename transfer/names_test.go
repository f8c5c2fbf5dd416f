package transfer

import (
	"fmt"
	"testing"
)

// Every kind of event and every end of a delivery has a name of its own.
func TestNames(t *testing.T) {
	seen := map[string]bool{}
	see := func(s fmt.Stringer) {
		if seen[s.String()] || s.String() == "" {
			t.Errorf("%#v is called %q", s, s)
		}
		seen[s.String()] = true
	}
	for k := range ReadingBack + 1 {
		see(k)
	}
	for d := range PeerOpenUncounted + 1 {
		see(d)
	}
}
