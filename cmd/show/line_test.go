package show

import (
	"flag"
	"fmt"
	"math"
	"os"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write the golden files anew")

// frames are the looks of a transfer that a user may see.
var frames = []struct {
	name string
	f    Frame
}{
	{"start", Frame{Total: 4316398879, ETA: -1}},
	{"running", Frame{Done: 1503238554, Total: 3221225472, Elapsed: 1400 * time.Millisecond, Rate: 1 << 30, Mean: 1 << 30, ETA: 1600 * time.Millisecond}},
	{"slow", Frame{Done: 12 << 20, Total: 100 << 40, Elapsed: 25 * time.Hour, Rate: 123456, ETA: 2500 * time.Hour}},
	{"nearly", Frame{Done: 1<<40 - 1, Total: 1 << 40, Elapsed: time.Hour, Rate: 1023 << 10, ETA: 1}},
	{"all", Frame{Done: 1 << 40, Total: 1 << 40, Elapsed: time.Hour, Rate: 1023 << 10}},
	{"unknown size", Frame{Done: 1503238554, Total: -1, Elapsed: 61 * time.Second, Rate: 20 << 20, Mean: 23 << 20, ETA: -1}},
	{"named, in bits", Frame{Name: "in", Done: 1503238554, Total: 3221225472, Elapsed: 1400 * time.Millisecond, Rate: 40e6, Mean: 39e6, Bits: true, ETA: 9 * time.Second}},
	{"more than an estimate", Frame{Done: 16672358, Total: 10 << 20, About: true, Elapsed: 3 * time.Second, Rate: 4 << 20, Mean: 5 << 20}},
	{"more, and stalled", Frame{Done: 16672358, Total: 10 << 20, Elapsed: 30 * time.Second, Remark: stalled(12*time.Second, "the receiver")}},
	{"stalled", Frame{Done: 1503238554, Total: 3221225472, Elapsed: 72 * time.Second, ETA: -1, Remark: stalled(12*time.Second, "the receiver")}},
	{"stalled, unknown size", Frame{Done: 1503238554, Total: -1, Elapsed: 72 * time.Second, ETA: -1, Remark: stalled(12*time.Second, "the receiver")}},
	{"nc without -N", Frame{Done: 1503238554, Total: -1, Elapsed: 72 * time.Second, ETA: -1, Remark: unclosed(12 * time.Second)}},
	{"closing", Frame{Done: 3221225472, Total: 3221225472, Elapsed: 72 * time.Second, ETA: -1, Remark: afterAll[Closing]}},
	{"storing", Frame{Done: 3221225472, Total: 3221225472, Elapsed: 72 * time.Second, ETA: -1, Remark: afterAll[Storing]}},
	{"grown", Frame{Done: 3221225473, Total: 3221225472, Elapsed: 72 * time.Second, Rate: 1, ETA: 0}},
}

// TestRenderGolden compares every look at every width with what a person has
// looked at and found good.
func TestRenderGolden(t *testing.T) {
	var b strings.Builder
	for _, columns := range []int{120, 80, 60, 40, 24} {
		fmt.Fprintf(&b, "%d columns\n", columns)
		for _, look := range frames {
			fmt.Fprintf(&b, "%-*s| %s\n", columns-1, look.f.Render(columns), look.name)
		}
		b.WriteByte('\n')
	}
	const name = "testdata/lines.golden"
	if *update {
		if err := os.WriteFile(name, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if b.String() != string(want) {
		t.Errorf("go test -run %s -update, and look at the difference:\n%s", t.Name(), b.String())
	}
}

// TestRenderFits draws every look at every width there is: never too wide, never
// anything but visible ASCII, never emptier than a wider line has to be.
func TestRenderFits(t *testing.T) {
	for _, look := range frames {
		for columns := -1; columns < 300; columns++ {
			line := look.f.Render(columns)
			if len(line) > max(columns-1, 0) || strings.Trim(line, " !\"#$%&'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]_abcdefghijklmnopqrstuvwxyz~") != "" {
				t.Fatalf("%s at %d columns: %q", look.name, columns, line)
			}
			if columns >= 24 && line == "" {
				t.Errorf("%s at %d columns: nothing", look.name, columns)
			}
			if bar := strings.Index(line, "> "); bar >= 0 && len(line) != columns-1 {
				t.Errorf("%s at %d columns: a bar, but %d wide", look.name, columns, len(line))
			}
		}
	}
}

// TestRenderSteady: while a transfer runs, no field moves.
func TestRenderSteady(t *testing.T) {
	for _, columns := range []int{120, 80, 60, 40, 24} {
		var shape string
		for i := range int64(1000) {
			f := Frame{Done: i * i * i * 1000, Total: 999 * 999 * 999 * 1000, Elapsed: time.Duration(i) * time.Second,
				Rate: math.Pow(1.02, float64(i)), ETA: time.Duration(1000-i) * time.Second}
			line := []byte(f.Render(columns))
			for j, c := range line { // only where fields end matters
				if c != '[' && c != ']' && c != '%' {
					line[j] = ' '
				}
			}
			if i == 0 {
				shape = string(line)
			} else if string(line) != shape {
				t.Fatalf("%d columns, step %d: the fields moved:\n%q\n%s", columns, i, shape, f.Render(columns))
			}
		}
	}
}

// TestRenderFiles: the number of files of a tree stands in front, while there is room.
func TestRenderFiles(t *testing.T) {
	f := Frame{Done: 3 << 30, Total: 7 << 30, Files: 12804, Elapsed: 31 * time.Second, Rate: 112 << 20, ETA: 36 * time.Second}
	for columns, want := range map[int]string{
		80: "12,804 files 3.00GiB 0:00:31 [ 112MiB/s]  42% [====>       ] ETA 0:00:36", 50: "3.00GiB [ 112MiB/s]  42% [===>     ] ETA 0:00:36",
	} {
		if got := f.Render(columns); squeezed(got) != squeezed(want) {
			t.Errorf("%d columns: %q", columns, got)
		}
	}
	f.Total = -1
	if got := f.Render(60); got != "12,804 files 3.00GiB 0:00:31 [ 112MiB/s, mean      0B/s]" {
		t.Errorf("of an unknown size: %q", got)
	}
}

// squeezed leaves out how long the bar is.
func squeezed(line string) string {
	before, after, _ := strings.Cut(line, "[=")
	_, after, _ = strings.Cut(after, "]")
	return before + "[=]" + after
}

func TestPercent(t *testing.T) {
	for _, tc := range []struct {
		done, total int64
		want        int
	}{
		{0, 100, 0}, {29, 100, 29}, {99, 100, 99}, {100, 100, 100}, {101, 100, 100}, {-1, 100, 0},
		{999_999_999, 1_000_000_000, 99}, {math.MaxInt64 - 1, math.MaxInt64, 99}, {math.MaxInt64, math.MaxInt64, 100},
		{0, 0, 100}, {1, 3, 33}, {2, 3, 66},
	} {
		if got := (Frame{Done: tc.done, Total: tc.total}).Percent(); got != tc.want {
			t.Errorf("%d of %d: %d %%, want %d", tc.done, tc.total, got, tc.want)
		}
	}
}

func TestFrameString(t *testing.T) {
	want := "1.40GiB 0:00:01 [1.00GiB/s]  46% ETA 0:00:02"
	if got := frames[1].f.String(); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := (Frame{Total: -1, Rate: 5}).String(); got != "0B 0:00:00 [     5B/s]" {
		t.Errorf("got %q", got)
	}
}

func TestDrawBar(t *testing.T) {
	for _, tc := range []struct {
		n, total int64
		want     string
	}{
		{0, 100, "[          ]"}, {1, 100, "[          ]"}, {10, 100, "[>         ]"}, {46, 100, "[===>      ]"},
		{99, 100, "[========> ]"}, {100, 100, "[==========]"}, {200, 100, "[==========]"}, {-5, 100, "[          ]"},
		{math.MaxInt64, math.MaxInt64, "[==========]"}, {1, 1, "[==========]"},
	} {
		if got := drawBar(tc.n, tc.total, 12); got != tc.want {
			t.Errorf("%d of %d: %q, want %q", tc.n, tc.total, got, tc.want)
		}
	}
}

func BenchmarkRender(b *testing.B) {
	b.ReportAllocs()
	var f Frame
	f.Total = 1 << 50
	for b.Loop() {
		f.Done += 1 << 30
		f.Render(80)
	}
}
