package show

import (
	"fmt"
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/zcp-go/zcp/cmd/text"
)

// The buckets of a Spark: as many as fit 80 columns. The first ones are as
// wide as a tick.
const (
	sparkBuckets = 50
	sparkWidth   = 100 * time.Millisecond
)

// The heights of the bars, from nothing upwards.
const (
	sparkBlocks = " ▁▂▃▄▅▆▇█"
	sparkASCII  = " ._-=+*#@"
)

// Spark keeps the rate over the whole life of a transfer in a fixed number of
// buckets: when they are full, each two become one. The zero value is ready.
type Spark struct {
	ASCII bool // the terminal knows no block characters
	Bits  bool // rates are shown in bits

	buckets [sparkBuckets]float64 // bytes in each
	width   time.Duration         // of a bucket
	until   time.Duration         // what is told up to now
	bytes   int64                 // moved up to then
}

// Add tells that n bytes had moved in all when the transfer had lasted at. What
// came since the call before is spread evenly.
func (s *Spark) Add(at time.Duration, n int64) {
	if s.width == 0 {
		s.width = sparkWidth
	}
	took := at - s.until
	if took <= 0 {
		return // its bytes are told with the next call
	}
	for at > s.width*sparkBuckets {
		s.merge()
	}
	rate := float64(n-s.bytes) / float64(took)
	for s.until < at {
		i := int(s.until / s.width)
		end := min(at, s.width*time.Duration(i+1))
		s.buckets[i] += rate * float64(end-s.until)
		s.until = end
	}
	s.bytes = n
}

// merge makes one bucket of each two.
func (s *Spark) merge() {
	for i := range sparkBuckets / 2 {
		s.buckets[i] = s.buckets[2*i] + s.buckets[2*i+1]
	}
	clear(s.buckets[sparkBuckets/2:])
	s.width *= 2
}

// rates returns bytes a second of each bucket. A last one that is less than half
// full says nothing and is left out, unless it is all there is.
func (s *Spark) rates() []float64 {
	var rates []float64
	for i := range s.buckets {
		full := min(s.until-time.Duration(i)*s.width, s.width)
		if full <= 0 || i > 0 && full < s.width/2 {
			break
		}
		rates = append(rates, s.buckets[i]/full.Seconds())
	}
	return rates
}

// Lines are the curve, and what its lowest, median and highest bars stand for.
// Both are empty if there is too little to see.
func (s *Spark) Lines() (curve, numbers string) {
	rates := s.rates()
	if len(rates) < 2 {
		return "", ""
	}
	sorted := slices.Clone(rates)
	//lint:ignore S1032 sort.Float64s is slices.Sort, 8 KiB more in the binary for 50 numbers
	sort.Sort(sort.Float64Slice(sorted))
	lowest, median, highest := sorted[0], sorted[len(sorted)/2], sorted[len(sorted)-1]
	heights := []rune(sparkBlocks)
	if s.ASCII {
		heights = []rune(sparkASCII)
	}
	var bars strings.Builder
	for _, rate := range rates {
		bars.WriteRune(heights[height(rate, highest, len(heights)-1)])
	}
	return fmt.Sprintf("[%s] each bar is %s", bars.String(), text.Duration(s.width)),
		fmt.Sprintf("rate: lowest %s, median %s, highest %s", rateText(lowest, s.Bits), rateText(median, s.Bits), rateText(highest, s.Bits))
}

// height is 0 for nothing at all, otherwise from 1 to most.
func height(rate, highest float64, most int) int {
	if rate < 0.5 || highest <= 0 {
		return 0
	}
	return min(1+int(rate/highest*float64(most)), most)
}

// knowsBlocks tells from the locale whether the terminal shows UTF-8.
func knowsBlocks(lookup func(string) (string, bool)) bool {
	for _, name := range []string{"LC_ALL", "LC_CTYPE", "LANG"} {
		if value, _ := lookup(name); value != "" {
			value = strings.ToLower(value)
			return strings.Contains(value, "utf-8") || strings.Contains(value, "utf8")
		}
	}
	return false
}
