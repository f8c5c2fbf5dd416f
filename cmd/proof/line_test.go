package proof

import (
	"bytes"
	"slices"
	"strings"
	"testing"
)

var zeros = strings.Repeat("0", 64)

var lines = []struct {
	text string
	line Line // nil: passed over
}{
	{"zcp1 want from=0 key=00000000000000ff", Want{0, 255}},
	{"zcp1 want from=9223372036854775807 key=ffffffffffffffff", Want{1<<63 - 1, 1<<64 - 1}},
	{"zcp1 busy verify=35", Busy{VerifyDone, 35, 0}},
	{"zcp1 busy to=1048576", Busy{PassedOn, 1 << 20, 0}},
	{"zcp1 busy verify=0 bytes=7", Busy{VerifyDone, 0, 7}}, {"zcp1 busy verify=1 bytes=-7", Busy{VerifyDone, 1, 0}},
	{"zcp1 done bytes=5 sha256=" + zeros, Done{5, SHA256, zeros, 0}},
	{"zcp1 done bytes=0 blake3=" + zeros, Done{0, BLAKE3, zeros, 0}},
	{"zcp1 want key=00000000000000ff from=7 later=x", Want{7, 255}},
	{"zcp1 done hops=3 sha256=" + strings.ToUpper(strings.Repeat("ab", 32)) + " bytes=1", Done{1, SHA256, strings.Repeat("ab", 32), 3}},

	{"", nil}, {"zcp1", nil}, {"zcp1 ", nil}, {"zcp1 hello from=1", nil}, {"zcp2 busy verify=1", nil}, {" zcp1 busy verify=1", nil},
	{"zcp1 busy", nil}, {"zcp1 busy verify", nil}, {"zcp1 busy verify=", nil}, {"zcp1 busy verify=-1", nil}, {"zcp1 busy verify=+1", nil},
	{"zcp1 busy verify=1_0", nil}, {"zcp1 busy verify=0x1", nil}, {"zcp1 busy  verify=1", nil}, {"zcp1 busy verify=1 ", nil}, {"zcp1 busy verify=1\r", nil},
	{"zcp1 want from=9223372036854775808 key=00000000000000ff", nil}, {"zcp1 want from=1 key=ff", nil}, {"zcp1 want from=1", nil},
	{"zcp1 want from=1 from=2 key=00000000000000ff", nil}, {"zcp1 want from=1 key=+0000000000000ff", nil},
	{"zcp1 done bytes=5", nil}, {"zcp1 done sha256=" + zeros, nil}, {"zcp1 done bytes=5 sha256=00", nil}, {"zcp1 done bytes=5 sha1=" + zeros, nil},
	{"zcp1 done bytes=5 sha256=" + zeros + "00", nil}, {"HTTP/1.1 400 Bad Request", nil}, {"\x00\xff\xfe", nil},
	{"zcp1 busy verify=1 x=" + strings.Repeat("y", MaxLine), nil},
}

func TestParse(t *testing.T) {
	for _, tc := range lines {
		if got := Parse([]byte(tc.text)); got != tc.line {
			t.Errorf("%q: %#v, want %#v", tc.text, got, tc.line)
		}
	}
}

// A line that is said can be read, and is short enough whatever its numbers.
func TestLineString(t *testing.T) {
	for _, l := range []Line{Want{1<<63 - 1, 1}, Busy{VerifyDone, 100, 1<<63 - 1}, Busy{PassedOn, 1<<63 - 1, 0}, Done{1<<63 - 1, BLAKE3, zeros, 1<<63 - 1}} {
		if got := Parse([]byte(l.String())); got != l || len(l.String()) >= MaxLine {
			t.Errorf("%s is read as %#v", l, got)
		}
	}
}

// The lines of a stream are the same however it is cut, with noise and lines that are too long between them.
func TestParserChunks(t *testing.T) {
	var stream []byte
	var want []Line
	for _, tc := range lines {
		stream = append(append(stream, tc.text...), '\n')
		if tc.line != nil {
			want = append(want, tc.line)
		}
	}
	for size := 1; size <= len(stream); size++ {
		if got := feed(stream, size); !slices.Equal(got, want) {
			t.Fatalf("in chunks of %d: %v, want %v", size, got, want)
		}
	}
}

// The longest line counts its newline; one byte more is passed over, and the line after it is heard.
func TestParserLength(t *testing.T) {
	line := func(n int) string { s := "zcp1 busy verify=1 x="; return s + strings.Repeat("y", n-1-len(s)) + "\n" }
	for n, want := range map[int]int{MaxLine - 1: 2, MaxLine: 2, MaxLine + 1: 1, 1 << 20: 1} {
		for _, size := range []int{1, 100, 1 << 21} {
			if got := feed([]byte(line(n)+"zcp1 busy verify=2\n"), size); len(got) != want {
				t.Errorf("a line of %d bytes in chunks of %d: %d lines heard, want %d", n, size, len(got), want)
			}
		}
	}
	if got := feed([]byte("zcp1 busy verify=1"), 1); got != nil {
		t.Errorf("%v was heard before its newline", got)
	}
}

func feed(stream []byte, size int) (got []Line) {
	var p Parser
	for chunk := range slices.Chunk(stream, size) {
		p.Feed(chunk, func(l Line) { got = append(got, l) })
	}
	return got
}

// Whatever a peer sends: chunks do not matter, what is heard is what Parse says of each line,
// and it can be said again.
func FuzzParser(f *testing.F) {
	for _, tc := range lines {
		f.Add([]byte(tc.text+"\n"+tc.text+"\n"), uint8(1))
	}
	f.Add([]byte(strings.Repeat("x", 300)+"\nzcp1 busy verify=1\n"), uint8(7))
	f.Fuzz(func(t *testing.T, stream []byte, size uint8) {
		got := feed(stream, int(size)+1)
		var want []Line
		all := bytes.Split(stream, []byte{'\n'})
		for _, text := range all[:len(all)-1] {
			if l := Parse(text); l != nil {
				want = append(want, l)
			}
		}
		if !slices.Equal(got, want) {
			t.Fatalf("%q in chunks of %d: %v, want %v", stream, int(size)+1, got, want)
		}
		for _, l := range got {
			if Parse([]byte(l.String())) != l {
				t.Fatalf("%s cannot be read again", l)
			}
		}
	})
}
