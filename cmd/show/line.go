package show

import (
	"fmt"
	"io"
	"math/bits"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/schollz/progressbar/v3"

	"github.com/zcp-go/zcp/cmd/text"
)

// Frame is what one progress line shows. It is plain data: the same frame and
// width always give the same line.
type Frame struct {
	Name    string        // of this zcp among several; may be empty
	Done    int64         // bytes that are there: acknowledged, where a peer acknowledges
	Total   int64         // -1: not known
	About   bool          // Total is an estimate
	Files   int64         // of a tree; 0: none yet, or it is not one
	Elapsed time.Duration //
	Rate    float64       // bytes per second over the recent past
	Mean    float64       // and since the beginning
	Bits    bool          // rates are shown in bits
	ETA     time.Duration // -1: cannot be told
	Count   string        // how many of several deliveries have ended; empty where there is one
	Remark  Remark        // what is waited for; stands where the ETA stood
}

// Remark is said in three lengths, for wide and for narrow terminals.
type Remark struct{ Long, Medium, Short string }

// Fields have a fixed width, so that nothing moves but the numbers: that of
// their longest values, 1023KiB and 1023KiB/s.
const (
	sizeWidth = 7
	rateWidth = sizeWidth + 2
	minBar    = 10 // [===>    ]; a shorter bar says less than an ETA
	wideBar   = 24 // so long that there is room for the mean beside it
)

// A layout is one way to write a frame. The bar takes the room that is left.
type layout struct {
	bar    int // the fewest columns of the bar; 0: there is none
	before []string
	after  []string // the bar
}

// Render writes the frame for a terminal of that many columns, one less at
// most: many terminals fold when the last column is written. What does not fit
// is left out, the least needed first. It is ASCII but for the name, without colours.
func (f Frame) Render(columns int) string {
	name := f.label(columns / 3)
	columns -= utf8.RuneCountInString(name)
	for _, l := range f.layouts() {
		fields := slices.Concat(l.before, l.after)
		room := columns - len(strings.Join(fields, " ")) - 1
		switch {
		case l.bar > 0 && room > l.bar:
			bar := drawBar(f.Done, f.Total, room-1)
			return name + strings.Join(slices.Concat(l.before, []string{bar}, l.after), " ")
		case l.bar == 0 && room >= 0:
			return name + strings.Join(fields, " ")
		}
	}
	return ""
}

// label is the name before the other fields, in at most so many columns.
func (f Frame) label(columns int) string {
	name := []rune(f.Name)
	if len(name) == 0 || columns < len("a: ") {
		return ""
	}
	return string(name[:min(len(name), columns-len(": "))]) + ": "
}

// String is the frame in words, for SIGUSR1: all fields but the bar and the mean.
func (f Frame) String() string {
	for _, l := range f.layouts() {
		if msg := strings.Join(slices.Concat(l.before, l.after), " "); !strings.Contains(msg, meanMark) {
			return strings.TrimLeft(msg, " ")
		}
	}
	return ""
}

const meanMark = ", mean "

// layouts are the ways to write the frame, the widest first: with the number of files in front
// where there is room.
func (f Frame) layouts() []layout {
	all := f.withoutFiles()
	if f.Files <= 0 {
		return all
	}
	const wide = 3 // of what is left out for narrower terminals, files go first
	var with []layout
	for _, l := range all[:min(wide, len(all))] {
		l.before = slices.Concat([]string{text.Counted(f.Files, "file")}, l.before)
		with = append(with, l)
	}
	return append(with, all...)
}

func (f Frame) withoutFiles() []layout {
	size := fmt.Sprintf("%*s", sizeWidth, text.Size(f.Done))
	rate := fmt.Sprintf("%*s", rateWidth, rateText(f.Rate, f.Bits))
	mean := fmt.Sprintf("[%s%s%*s]", rate, meanMark, rateWidth, rateText(f.Mean, f.Bits))
	boxed, percent, time, over := "["+rate+"]", f.percent(), clock(f.Elapsed), f.Total > 0 && f.Done > f.Total
	if over { // neither a percentage nor an end can be told
		size, percent = text.Size(f.Done)+" of "+strings.Repeat("~", bit(f.About))+text.Size(f.Total), ""
	}
	if f.Count != "" {
		boxed, mean = boxed+" "+f.Count, mean+" "+f.Count
	}
	switch r := f.Remark; {
	case r.Long != "" && percent == "":
		return []layout{
			{0, []string{size, time, boxed, r.Long}, nil}, {0, []string{size, r.Long}, nil}, {0, []string{size, r.Medium}, nil},
			{0, []string{size, r.Short}, nil}, {0, []string{r.Short}, nil},
		}
	case r.Long != "": // what is waited for matters more than a rate of nothing
		return []layout{
			{minBar, []string{size, time, boxed, percent}, []string{r.Long}}, {minBar, []string{size, percent}, []string{r.Long}},
			{0, []string{size, percent, r.Long}, nil}, {minBar, []string{size, percent}, []string{r.Medium}},
			{0, []string{size, percent, r.Medium}, nil}, {0, []string{size, strings.TrimLeft(percent, " "), r.Short}, nil},
			{0, []string{percent, r.Short}, nil}, {0, []string{percent}, nil},
		}
	case percent == "":
		return []layout{
			{0, []string{size, time, mean}, nil}, {0, []string{size, time, boxed}, nil}, {0, []string{size, boxed}, nil},
			{0, []string{size, rate}, nil}, {0, []string{size}, nil}, {0, []string{text.Size(f.Done)}, nil},
		}
	}
	eta, end := "ETA "+f.eta(), f.eta()
	return []layout{
		{wideBar, []string{size, time, mean, percent}, []string{eta}}, {minBar, []string{size, time, boxed, percent}, []string{eta}},
		{minBar, []string{size, boxed, percent}, []string{eta}}, {0, []string{size, boxed, percent, eta}, nil},
		{0, []string{size, rate, percent, end}, nil}, {0, []string{size, percent, eta}, nil}, {0, []string{size, percent, end}, nil},
		{0, []string{size, percent}, nil}, {0, []string{percent}, nil},
	}
}

func bit(b bool) int {
	if b {
		return 1
	}
	return 0
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
	if f.ETA < 0 {
		return "-:--:--"
	}
	return clock(f.ETA + time.Second - 1) // it is not over before it is over
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
