package proof

import (
	"strings"
	"testing"
)

func TestReadAt(t *testing.T) {
	const key = " key=00000000000000ff"
	long := AtPrefix + strings.Repeat("x", MaxLine)
	for _, tc := range []struct {
		in       string
		want     At
		rest     string
		more, ok bool
	}{
		{in: "", more: true}, {in: "zcp1", more: true}, {in: AtPrefix, more: true}, {in: AtPrefix + "from=1 size=2" + key, more: true},
		{in: AtPrefix + "from=1 size=2" + key + "\nrest\n", want: At{1, 2, 255}, rest: "rest\n", ok: true},
		{in: AtPrefix + "later=x from=1 size=2" + key + "\n", want: At{1, 2, 255}, ok: true},
		{in: "zcp1 want from=1" + key + "\n"}, {in: "x"}, {in: "zcp2"}, {in: "\x00\xff"},
		{in: AtPrefix + "from=1 size=2 key=ff\n"}, {in: AtPrefix + "from=-1 size=2" + key + "\n"}, {in: AtPrefix + "from=1" + key + "\n"},
		{in: AtPrefix + "from=1 from=1 size=2" + key + "\n"}, {in: AtPrefix + "from=9223372036854775808 size=2" + key + "\n"},
		{in: AtPrefix + "from=1 size=2" + key + "\r\n"},
		{in: long[:MaxLine-1], more: true}, {in: long[:MaxLine]}, {in: long[:MaxLine] + "\n"},
	} {
		at, rest, more, ok := ReadAt([]byte(tc.in))
		if more != tc.more || ok != tc.ok || ok && (at != tc.want || string(rest) != tc.rest) {
			t.Errorf("%.60q: %v, %q, %v, %v", tc.in, at, rest, more, ok)
		}
	}
	w := Want{From: 3 << 20, Key: 1 << 60}
	at, rest, _, ok := ReadAt([]byte(w.Answer(5<<20).String() + "\n"))
	if want := (At{2 << 20, 5 << 20, 1 << 60}); !ok || at != want || len(rest) != 0 {
		t.Errorf("%v, %q, %v", at, rest, ok)
	}
	if at := (Want{From: 7}).Answer(9); at.From != 0 {
		t.Errorf("of 7 bytes %d are not compared", at.From)
	}
}

func FuzzReadAt(f *testing.F) {
	f.Add([]byte(AtPrefix + "from=0 size=1 key=0000000000000000\n"))
	f.Add([]byte("zcp1 at"))
	f.Fuzz(func(t *testing.T, b []byte) {
		at, rest, more, ok := ReadAt(b)
		switch {
		case more && (ok || len(b) >= MaxLine):
			t.Fatalf("more of %d bytes", len(b))
		case ok && (at.From < 0 || at.Size < 0 || len(rest) >= len(b)):
			t.Fatalf("%v of %q", at, b)
		}
	})
}
