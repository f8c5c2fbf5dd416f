package cmd

import (
	"os"
	"slices"
	"strings"
	"time"
)

// sparkCells is how many cells a sparkline has at most; half of them at least are used
// by a transfer that was long enough.
const sparkCells = 60

// A sparkline keeps the rate over a whole transfer in bounded memory: cells of equal
// time, two of which become one whenever all are used. The zero value is ready.
type sparkline struct {
	cells []float64 // bytes a second
	each  int       // looks in a cell
	looks int       // in the cell that is being filled
	sum   float64   // of their rates
	lastN int64
	lastT time.Time
}

// add notes how many bytes there were at now.
func (s *sparkline) add(n int64, now time.Time) {
	if s.lastT.IsZero() {
		s.lastN, s.lastT, s.each = n, now, 1
		return
	}
	d := now.Sub(s.lastT).Seconds()
	if d <= 0 {
		return
	}
	s.sum += max(0, float64(n-s.lastN)/d)
	s.lastN, s.lastT = n, now
	if s.looks++; s.looks < s.each {
		return
	}
	s.cells = append(s.cells, s.sum/float64(s.looks))
	s.looks, s.sum = 0, 0
	if len(s.cells) == sparkCells {
		for i := range sparkCells / 2 {
			s.cells[i] = (s.cells[2*i] + s.cells[2*i+1]) / 2
		}
		s.cells = s.cells[:sparkCells/2]
		s.each *= 2
	}
}

var (
	sparkUTF8  = []rune("▁▂▃▄▅▆▇█")
	sparkASCII = []rune("_.-=+*#@")
)

// String draws the cells from nothing to the highest rate, with the lowest, the median
// and the highest of them; "" where there are too few to show a course.
func (s *sparkline) String() string {
	if s == nil || len(s.cells) < 3 {
		return ""
	}
	sorted := slices.Sorted(slices.Values(s.cells))
	top := sorted[len(sorted)-1]
	marks := sparkASCII
	if utf8Locale() {
		marks = sparkUTF8
	}
	var b strings.Builder
	for _, c := range s.cells {
		i := 0
		if top > 0 {
			i = min(int(c/top*float64(len(marks))), len(marks)-1)
		}
		b.WriteRune(marks[i])
	}
	return b.String() + " lowest " + FormatRate(sorted[0]) + ", median " + FormatRate(sorted[len(sorted)/2]) + ", highest " + FormatRate(top)
}

// utf8Locale tells whether the terminal can be trusted with block characters: the first
// of these variables that is set decides (locale(7)).
func utf8Locale() bool {
	for _, name := range []string{"LC_ALL", "LC_CTYPE", "LANG"} {
		if v := strings.ToUpper(os.Getenv(name)); v != "" {
			return strings.Contains(v, "UTF-8") || strings.Contains(v, "UTF8")
		}
	}
	return false
}
