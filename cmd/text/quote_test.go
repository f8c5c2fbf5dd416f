package text

import "testing"

func TestQuote(t *testing.T) {
	for name, want := range map[string]string{
		"":                "\"\"",
		"big.iso":         "big.iso",
		"with space":      "with space",
		"a\"b":            "a\"b",
		"\"a\"":           `"\"a\""`,
		"größe 日本":        "größe 日本",
		"a\\b":            "a\\b",
		"a\nb":            `"a\nb"`,
		"a\tb":            `"a\tb"`,
		"\x1b[2J":         `"\x1b[2J"`,
		"a\x7fb":          `"a\x7fb"`,
		"c1\u009b2J":      `"c1\u009b2J"`,
		"\xff\xfe":        `"\xff\xfe"`,
		"gnp\u202exe.txt": `"gnp\u202exe.txt"`,
		"zero\u200bwidth": `"zero\u200bwidth"`,
		"\ufeffbom":       `"\ufeffbom"`,
		"nb\u00a0sp":      `"nb\u00a0sp"`,
		"\ufffd":          "\ufffd",
	} {
		if got := Quote(name); got != want {
			t.Errorf("Quote(%q) = %s, want %s", name, got, want)
		}
		if got := Escape("x " + name); Unseen(got) || !Unseen(name) && got != "x "+name {
			t.Errorf("harmless(%q) = %q", name, got)
		}
	}
	if got, want := Escape("a\nb\x1b\xff\u202e\"c\""), `a\nb\x1b\xff\u202e"c"`; got != want {
		t.Errorf("harmless = %s, want %s", got, want)
	}
}
