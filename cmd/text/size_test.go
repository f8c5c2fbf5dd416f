package text

import (
	"fmt"
	"math"
	"math/big"
	"strings"
	"testing"
	"time"
)

func TestParseSize(t *testing.T) {
	for text, want := range map[string]int64{
		"0": 0, "1": 1, "4096": 4096, "7B": 7, "00012": 12, "1.000": 1,
		"64k": 64 << 10, "64K": 64 << 10, "64KiB": 64 << 10, "64kiB": 64 << 10,
		"1.5G": 3 << 29, "2GiB": 2 << 30, "1m": 1 << 20, "3T": 3 << 40, "7P": 7 << 50, "7E": 7 << 60,
		"10kB": 10_000, "10KB": 10_000, "10MB": 10_000_000, "1.5GB": 1_500_000_000, "2TB": 2e12, "3PB": 3e15, "4EB": 4e18,
		".5G": 1 << 29, "0.5G": 1 << 29,
		"0.1k": 102, "0.9999k": 1023, // a part of a byte is dropped
		"1.000000000000000001E": 1<<60 + 1, // 1.15 bytes more
		"9223372036854775807":   math.MaxInt64,
	} {
		got, err := ParseSize(text)
		if err != nil || got != want {
			t.Errorf("ParseSize(%q) = %d, %v, want %d", text, got, err, want)
		}
	}
}

func TestParseSizeRefuses(t *testing.T) {
	for text, why := range map[string]problem{
		"": errNoSize, ".": errNoSize, "5.": errNoSize, "1.2.3": errNoSize, "k": errNoSize, "5x": errNoSize,
		"5 k": errNoSize, " 5": errNoSize, "+5": errNoSize, "0x10": errNoSize, "1e3": errNoSize, "5kk": errNoSize,
		"5kib": errNoSize, "5i": errNoSize, "NaN": errNoSize, "Inf": errNoSize, "5\x00": errNoSize, "٣": errNoSize,
		"10mb": errBits, "10Mb": errBits,
		"-5": errPast, "-": errPast,
		"1.5": errPart, "0.1B": errPart,
		"1.0000000000000000001G": errDigits,
		"9223372036854775808":    errTooBig, "8E": errTooBig, "16E": errTooBig, "18446744073709551616": errTooBig,
		"18446744073709551615k": errTooBig, "7.9999E1": errNoSize, "99999999999999999999999999": errTooBig,
	} {
		got, err := ParseSize(text)
		if err == nil {
			t.Errorf("ParseSize(%q) = %d, want the error %q", text, got, string(why))
		} else if err.Error() != fmt.Sprintf(string(why), text) {
			t.Errorf("ParseSize(%q): %v, want %q", text, err, string(why))
		}
	}
}

func TestFormatSize(t *testing.T) {
	for n, want := range map[int64]string{
		-1: "0B", 0: "0B", 1: "1B", 999: "999B", 1023: "1023B",
		1024: "1.00KiB", 1025: "1.00KiB", 10 << 10: "10.0KiB", 468 << 10: "468KiB", 1023 << 10: "1023KiB",
		1<<20 - 1: "1.00MiB", 1503238554: "1.40GiB", 100 << 30: "100GiB", 1 << 40: "1.00TiB",
		5 << 50: "5.00PiB", math.MaxInt64: "8.00EiB",
	} {
		if got := Size(n); got != want {
			t.Errorf("FormatSize(%d) = %q, want %q", n, got, want)
		}
	}
	if got := Rate(468 << 20); got != "468MiB/s" {
		t.Errorf("FormatRate = %q", got)
	}
	if got := Rate(math.NaN()); got != "0B/s" {
		t.Errorf("FormatRate(NaN) = %q", got)
	}
}

func TestParseDuration(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"5": 5 * time.Second, "0.2": 200 * time.Millisecond, ".5": 500 * time.Millisecond, "500ms": 500 * time.Millisecond,
		"2m": 2 * time.Minute, "1m30s": 90 * time.Second, "1h": time.Hour, "0": 0, "0s": 0, "1.5h": 90 * time.Minute,
		"9223372036": 9223372036 * time.Second,
	} {
		got, err := ParseDuration(text)
		if err != nil || got != want {
			t.Errorf("ParseDuration(%q) = %v, %v, want %v", text, got, err, want)
		}
	}
	for _, text := range []string{
		"", ".", "s", "-", "-5", "-0", "-1m", "+5", "5x", "NaN", "nan", "Inf", "1e3", "0x10", "1m30", "5 s", "1.2.3", "9223372037", "1d", "99999999999h",
	} {
		if got, err := ParseDuration(text); err == nil {
			t.Errorf("ParseDuration(%q) = %v, want an error", text, got)
		} else if strings.HasPrefix(text, "-") != (err.Error() == fmt.Sprintf(string(errPast), text)) {
			t.Errorf("ParseDuration(%q): %v", text, err)
		}
	}
}

func TestFormatDuration(t *testing.T) {
	for d, want := range map[time.Duration]string{
		-1: "0ms", 0: "0ms", 3 * time.Millisecond: "3ms", 120 * time.Millisecond: "0.12s", 994 * time.Millisecond: "0.99s",
		999 * time.Millisecond: "1.0s", 8800 * time.Millisecond: "8.8s", 59949 * time.Millisecond: "59.9s",
		59951 * time.Millisecond: "1m00s", 125 * time.Second: "2m05s", 3599999 * time.Millisecond: "1h00m00s", 3725 * time.Second: "1h02m05s",
	} {
		if got := Duration(d); got != want {
			t.Errorf("FormatDuration(%v) = %q, want %q", d, got, want)
		}
	}
}

// FuzzParseSize compares with arithmetic that cannot overflow.
func FuzzParseSize(f *testing.F) {
	for _, s := range []string{"4096", "64k", "1.5G", "2GiB", "10MB", "0.000000000000000001E", "7.999999999999999999E", "-1", "9223372036854775808", "1.5"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		n, err := ParseSize(text)
		if err != nil {
			if n != 0 || !strings.Contains(err.Error(), fmt.Sprintf("%q", text)) {
				t.Fatalf("ParseSize(%q) = %d, %v", text, n, err)
			}
			return
		}
		number := strings.TrimRight(text, "kKmMgGtTpPeEiB")
		unit, wrong := parseUnit(text[len(number):])
		if wrong != "" {
			t.Fatalf("ParseSize(%q) = %d, but %q is not a unit", text, n, text[len(number):])
		}
		want, ok := new(big.Rat).SetString(number)
		if !ok {
			t.Fatalf("ParseSize(%q) = %d, but %q is not a number", text, n, number)
		}
		want.Mul(want, new(big.Rat).SetUint64(unit))
		if floor := new(big.Int).Quo(want.Num(), want.Denom()); !floor.IsInt64() || floor.Int64() != n {
			t.Fatalf("ParseSize(%q) = %d, want %v", text, n, floor)
		}
	})
}

// FuzzFormatSize reads back what was written: three digits are half a percent
// at worst, and the text is never wider than its column.
func FuzzFormatSize(f *testing.F) {
	for _, n := range []int64{0, 1, 1023, 1024, 1047552, 1 << 40, math.MaxInt64 / 2} {
		f.Add(n)
	}
	f.Fuzz(func(t *testing.T, n int64) {
		if n < 0 || n > math.MaxInt64/2 {
			return
		}
		text := Size(n)
		back, err := ParseSize(text)
		if err != nil || len(text) > 7 || math.Abs(float64(back-n)) > 0.005*float64(n)+1 {
			t.Fatalf("FormatSize(%d) = %q, read back %d, %v", n, text, back, err)
		}
	})
}

func FuzzParseDuration(f *testing.F) {
	for _, s := range []string{"5", "0.2", "500ms", "1m30s", "-1", "9223372037", "NaN", "1µs"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if d, err := ParseDuration(text); d < 0 || err != nil && d != 0 {
			t.Fatalf("ParseDuration(%q) = %v, %v", text, d, err)
		}
	})
}

func TestParseRate(t *testing.T) {
	for text, want := range map[string]int64{
		"10M": 10 << 20, "10m/s": 10 << 20, "10MB/s": 10_000_000, "10MBps": 10_000_000, "0": 0, "5/s": 5,
		"100Mbit": 12_500_000, "100Mbit/s": 12_500_000, "1.5gbit": 187_500_000, "100Mbps": 12_500_000, "800bit": 100, "8Mibit": 1 << 20, "64kbit/s": 8000,
	} {
		if got, err := ParseRate(text); err != nil || got != want {
			t.Errorf("ParseRate(%q) = %d, %v, want %d", text, got, err, want)
		}
	}
	for text, why := range map[string]problem{
		"10mb": errBitRate, "10Mb/s": errBitRate, "": errNoRate, "/s": errNoRate, "bit": errNoRate, "x": errNoRate,
		"5bit": errSlow, "-5": errPast, "99Ebit": errTooBig,
	} {
		if got, err := ParseRate(text); err == nil || err.Error() != fmt.Sprintf(string(why), text) {
			t.Errorf("ParseRate(%q) = %d, %v, want %q", text, got, err, string(why))
		}
	}
}

func TestBitRate(t *testing.T) {
	for v, want := range map[float64]string{
		-1: "0bit/s", 0: "0bit/s", 1: "8bit/s", 124: "992bit/s", 125: "1.00kbit/s", 40e6: "320Mbit/s", 1.25e9: "10.0Gbit/s", 124.99e6: "1.00Gbit/s",
	} {
		if got := BitRate(v); got != want {
			t.Errorf("BitRate(%v) = %q, want %q", v, got, want)
		}
	}
}

func TestBytes(t *testing.T) {
	for n, want := range map[int64]string{0: "0 bytes", 1: "1 byte", 1023: "1,023 bytes", 314572800: "314,572,800 bytes (300MiB)"} {
		if got := Bytes(n); got != want {
			t.Errorf("Bytes(%d) = %q, want %q", n, got, want)
		}
	}
}
