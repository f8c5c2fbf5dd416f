//go:build linux

package main

import "testing"

// One round that was disturbed does not make a row noisy, rounds that agree on nothing do.
func TestSpread(t *testing.T) {
	for _, c := range []struct {
		ratios []float64
		noisy  bool
	}{
		{[]float64{1}, false}, {[]float64{1, 1.1}, false}, {[]float64{1, 2}, true},
		{[]float64{1, 1.1, 1, 1.05, 9, 1.1, 1, 1.02, 1}, false},
		{[]float64{1, 2, 3, 1, 2, 3, 1, 2, 3}, true},
	} {
		if got := spread(c.ratios); got > mostSpread != c.noisy {
			t.Errorf("%v: spread %.2f, noisy is %v", c.ratios, got, c.noisy)
		}
	}
	for noisy, want := range map[bool]string{false: "1.50", true: "noisy"} {
		if got := (line{ratio: 1.5, noisy: noisy}).quoted(2); got != want {
			t.Errorf("noisy %v: %q, want %q", noisy, got, want)
		}
	}
}
