package show

import (
	"fmt"
	"io"
	"math/bits"
	"slices"
	"strings"
	"time"

	"github.com/schollz/progressbar/v3"

	"github.com/zcp-go/zcp/cmd/text"
)

// Frame is what one progress line shows. It is plain data: the same frame and
// width always give the same line.
type Frame struct {
	Done    int64         // bytes that are there: acknowledged, where a peer acknowledges
	Total   int64         // -1: not known
	Elapsed time.Duration //
	Rate    float64       // bytes per second over the recent past
	ETA     time.Duration // -1: cannot be told
	Remark  Remark        // what is waited for; stands where the ETA stood
}

// Remark is said in three lengths, for wide and for narrow terminals.
type Remark struct{ Long, Medium, Short string }

// Fields have a fixed width, so that nothing moves but the numbers: that of
// their longest values, 1023KiB and 1023KiB/s.
const (
	sizeWidth = 7
	rateWidth = sizeWidth + 2
	minBar    = 6 // [=>  ]; a shorter bar says nothing
	barField  = "\x00bar"
)

// Render writes the frame for a terminal of that many columns, one less at
// most: many terminals fold when the last column is written. What does not fit
// is left out, the least needed first. It is ASCII, without colours.
func (f Frame) Render(columns int) string {
	for _, fields := range f.layouts() {
		width := len(fields) - 1
		at := slices.Index(fields, barField)
		for i, field := range fields {
			if i != at {
				width += len(field)
			}
		}
		room := columns - 1 - width
		switch {
		case at >= 0 && room >= minBar:
			fields[at] = drawBar(f.Done, f.Total, room)
			return strings.Join(fields, " ")
		case at < 0 && room >= 0:
			return strings.Join(fields, " ")
		}
	}
	return ""
}

// String is the frame in words, for SIGUSR1: all fields but the bar.
func (f Frame) String() string {
	fields := slices.DeleteFunc(f.layouts()[0], func(s string) bool { return s == barField })
	return strings.TrimLeft(strings.Join(fields, " "), " ")
}

// layouts are the ways to write the frame, the widest first.
func (f Frame) layouts() [][]string {
	size := fmt.Sprintf("%*s", sizeWidth, text.Size(f.Done))
	rate := fmt.Sprintf("%*s", rateWidth, text.Rate(f.Rate))
	boxed, percent, time := "["+rate+"]", f.percent(), clock(f.Elapsed)
	all := [][]string{
		{size, time, boxed, percent, barField, f.eta()},
		{size, time, boxed, percent, barField},
		{size, time, boxed, percent},
		{size, boxed, percent},
		{size, rate, percent},
		{size, percent},
		{percent},
	}
	if r := f.Remark; r.Long != "" {
		// what is waited for matters more than a rate of nothing
		all = [][]string{
			{size, time, boxed, percent, barField, r.Long},
			{size, percent, barField, r.Long},
			{size, percent, r.Long},
			{size, percent, barField, r.Medium},
			{size, percent, r.Medium},
			{size, strings.TrimLeft(percent, " "), r.Short},
			{percent, r.Short},
			{percent},
		}
	}
	if f.Total <= 0 {
		for i := range all {
			all[i] = slices.DeleteFunc(all[i], func(s string) bool { return s == barField || s == "" })
		}
	}
	return slices.DeleteFunc(all, func(fields []string) bool { return len(fields) == 0 })
}

// Percent is how much of Total is there, rounded down: 100 means all of it.
func (f Frame) Percent() int {
	if f.Total <= 0 || f.Done >= f.Total {
		return 100
	}
	high, low := bits.Mul64(uint64(max(f.Done, 0)), 100)
	percent, _ := bits.Div64(high, low, uint64(f.Total)) // Done < Total, so it is below 100
	return int(percent)
}

func (f Frame) percent() string {
	if f.Total <= 0 {
		return ""
	}
	return fmt.Sprintf("%3d%%", f.Percent())
}

func (f Frame) eta() string {
	switch {
	case f.Total <= 0:
		return ""
	case f.ETA < 0:
		return "ETA -:--:--"
	}
	return "ETA " + clock(f.ETA+time.Second-1) // it is not over before it is over
}

// clock writes a time as hours, minutes and seconds.
func clock(d time.Duration) string {
	s := min(max(int64(d/time.Second), 0), 999*3600+3599)
	return fmt.Sprintf("%d:%02d:%02d", s/3600, s/60%60, s%60)
}

// drawBar has the library draw a bar of that many columns. It gets a writer that
// keeps nothing and draws one bar at a time: on a terminal of its own it would
// wrap, fsync, and paint 100 % after a failure.
func drawBar(n, total int64, columns int) string {
	bar := progressbar.NewOptions64(total,
		progressbar.OptionSetWriter(io.Discard), progressbar.OptionSetWidth(columns-len("[]")),
		progressbar.OptionSetPredictTime(false), progressbar.OptionSetElapsedTime(false),
		progressbar.OptionSetTheme(progressbar.Theme{Saucer: "=", SaucerHead: ">", SaucerPadding: " ", BarStart: "[", BarEnd: "]"}))
	// Set64 draws from one percent on. None of them can fail: total is not 0, n
	// is not above it, and nothing is written.
	n = min(max(n, 0), total)
	if n < total/100+1 {
		_ = bar.RenderBlank()
	}
	_ = bar.Set64(n)
	msg := bar.String()
	return msg[strings.IndexByte(msg, '[') : strings.IndexByte(msg, ']')+1]
}
