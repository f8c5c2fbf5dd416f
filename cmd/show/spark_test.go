package show

import (
	"math"
	"strings"
	"testing"
	"time"
)

func TestSparkShape(t *testing.T) {
	var s Spark
	var n int64
	at := time.Duration(0)
	for _, part := range []struct {
		d    time.Duration
		rate int64
	}{{time.Second, 10e6}, {time.Second, 100e6}, {time.Second, 0}, {time.Second, 50e6}} {
		for range part.d / (100 * time.Millisecond) {
			at += 100 * time.Millisecond
			n += part.rate / 10
			s.Add(at, n)
		}
	}
	curve, numbers := s.Lines()
	if want := "[▁▁▁▁▁▁▁▁▁▁██████████          ▅▅▅▅▅▅▅▅▅▅] each bar is 0.10s"; curve != want {
		t.Errorf("got  %s\nwant %s", curve, want)
	}
	if want := "rate: lowest 0B/s, median 47.7MiB/s, highest 95.4MiB/s"; numbers != want {
		t.Errorf("got  %s\nwant %s", numbers, want)
	}
	s.ASCII = true
	if curve, _ := s.Lines(); curve != "[..........@@@@@@@@@@          ++++++++++] each bar is 0.10s" {
		t.Errorf("ASCII: %s", curve)
	}
}

// TestSparkLong: however long it takes and however rarely it is told, there are
// at most 50 bars and no byte is lost.
func TestSparkLong(t *testing.T) {
	for _, tick := range []time.Duration{7 * time.Millisecond, 100 * time.Millisecond, 333 * time.Millisecond, 5 * time.Second, time.Hour} {
		var s Spark
		for i := range int64(5000) {
			s.Add(time.Duration(i+1)*tick, (i+1)*1000)
			var sum float64
			for _, b := range s.buckets {
				sum += b
			}
			if math.Abs(sum-float64(i+1)*1000) > 1 {
				t.Fatalf("tick %v: %f bytes of %d", tick, sum, (i+1)*1000)
			}
		}
		rates := s.rates()
		if len(rates) < sparkBuckets/2 || len(rates) > sparkBuckets {
			t.Errorf("tick %v: %d bars", tick, len(rates))
		}
		for i, r := range rates {
			if !near(r, 1000/tick.Seconds()) {
				t.Errorf("tick %v: bar %d is %f B/s", tick, i, r)
			}
		}
	}
}

func TestSparkLittle(t *testing.T) {
	var s Spark
	if curve, numbers := s.Lines(); curve+numbers != "" {
		t.Error("lines of nothing")
	}
	s.Add(0, 5)
	s.Add(50*time.Millisecond, 10)
	s.Add(50*time.Millisecond, 20) // no time has passed: its bytes come with the next
	s.Add(-time.Second, 30)
	if got, _ := s.Lines(); got != "" {
		t.Errorf("a curve of one bar: %s", got)
	}
	s.Add(200*time.Millisecond, 40)
	if got, _ := s.Lines(); got != "[██] each bar is 0.10s" {
		t.Errorf("got %s", got)
	}
	if sum := s.buckets[0] + s.buckets[1]; math.Abs(sum-40) > 1e-6 {
		t.Errorf("%v bytes, want 40", sum)
	}
	var idle Spark
	idle.Add(time.Second, 0)
	if got, _ := idle.Lines(); !strings.HasPrefix(got, "[          ] ") {
		t.Errorf("an idle second: %s", got)
	}
}

func TestKnowsBlocks(t *testing.T) {
	for _, tc := range []struct {
		env  map[string]string
		want bool
	}{
		{nil, false},
		{map[string]string{"LANG": "C"}, false},
		{map[string]string{"LANG": "en_GB.UTF-8"}, true},
		{map[string]string{"LANG": "en_GB.utf8"}, true},
		{map[string]string{"LANG": "en_GB.UTF-8", "LC_ALL": "C"}, false},
		{map[string]string{"LANG": "C", "LC_CTYPE": "C.UTF-8"}, true},
		{map[string]string{"LANG": "C.UTF-8", "LC_ALL": ""}, true},
	} {
		if got := knowsBlocks(func(name string) (string, bool) { v, ok := tc.env[name]; return v, ok }); got != tc.want {
			t.Errorf("%v: %v", tc.env, got)
		}
	}
}
