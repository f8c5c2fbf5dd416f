package proof

import "testing"

// The digests of nothing and of abc are those of FIPS 180-4 and of the test vectors of BLAKE3.
func TestNew(t *testing.T) {
	for _, tc := range []struct{ alg, text, want string }{
		{SHA256, "", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
		{SHA256, "abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
		{BLAKE3, "", "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262"},
		{BLAKE3, "abc", "6437b3ac38465133ffb63b75273a8db548c558465d79db03fd359c6cd5bd9d85"},
	} {
		h := New(tc.alg)
		h.Write([]byte(tc.text))
		if got := Hex(h); got != tc.want || h.Size() != Size {
			t.Errorf("%s of %q is %s, want %s", tc.alg, tc.text, got, tc.want)
		}
	}
}

func TestCheckLine(t *testing.T) {
	for name, want := range map[string]string{
		"big.iso": "00  big.iso", "-": "00  -", " two": "00   two",
		"a\nb": `\00  a\nb`, `a\b`: `\00  a\\b`, "a\rb": `\00  a\rb`,
	} {
		if got := CheckLine("00", name); got != want {
			t.Errorf("%q: %q, want %q", name, got, want)
		}
	}
}
