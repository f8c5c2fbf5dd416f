package show

import (
	"testing"
	"time"
)

// TestRelayLine leaves out of the line what there is no room for, the least first.
func TestRelayLine(t *testing.T) {
	began := time.Unix(1000, 0)
	totals := &Totals{Open: 3, Closed: 1234, UpBytes: 1 << 20, DownBytes: 5 << 20}
	for _, tc := range []struct {
		columns int
		want    string
	}{
		{200, "relay :80 -> app:8080  3 open, 1,234 done  up 1.00MiB down 5.00MiB  [2.00MiB/s]"},
		{80, "relay :80 -> app:8080  3 open, 1,234 done  up 1.00MiB down 5.00MiB  [2.00MiB/s]"},
		{79, "3 open, 1,234 done  up 1.00MiB down 5.00MiB  [2.00MiB/s]"},
		{40, "3 open, 1,234 done  [2.00MiB/s]"},
		{20, "3 open, 1,234 done"},
		{18, ""},
	} {
		l := RelayLine{From: ":80", To: "app:8080"}
		if first := l.Render(&Totals{DownBytes: 4 << 20}, began, 200); first != "relay :80 -> app:8080  0 open, 0 done  up 0B down 4.00MiB  [0B/s]" {
			t.Errorf("at first %q", first)
		}
		if got := l.Render(totals, began.Add(time.Second), tc.columns); got != tc.want {
			t.Errorf("%d columns: %q, want %q", tc.columns, got, tc.want)
		}
	}
}
