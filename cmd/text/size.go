package text

import (
	"fmt"
	"math"
	"math/bits"
	"strconv"
	"strings"
	"time"
)

// unitLetters are the prefixes of SIZE in order: each is 1024 (or 1000) times
// the one before.
const unitLetters = "KMGTPE"

// maxFraction is how many digits after the point ParseSize takes: 10^18 is the
// largest power of ten whose product with the largest unit fits 128 bits with
// room to divide.
const maxFraction = 18

const (
	errNoSize  problem = "invalid size %q (use 4096, 64k, 1.5G, 2GiB; 10MB counts in thousands)"
	errBits    problem = "invalid size %q: a small b means bits, zcp counts bytes (10M, 10MB)"
	errBitRate problem = "invalid rate %q: for bits write 10Mbit, for bytes 10M or 10MB"
	errNoRate  problem = "invalid rate %q (use 10M, 1.5G, 10MB/s, 100Mbit, 1Gbit/s)"
	errSlow    problem = "rate %q is less than a byte per second"
	errTooBig  problem = "size %q is too large (maximum 9223372036854775807 bytes)"
	errPart    problem = "invalid size %q: a byte has no parts"
	errDigits  problem = "size %q has more than 18 digits after the point"
	errNoTime  problem = "invalid duration %q (use 5, 0.2, 500ms, 2m, 1m30s; a bare number is seconds)"
	errPast    problem = "%q is negative"
)

// A problem is the format of an error that names what was typed; "" is none.
type problem string

func (p problem) with(word string) error { return fmt.Errorf(string(p), word) }

// ParseSize reads a SIZE as users of pv and dd write it: 4096, 64k, 1.5G and
// 2GiB are powers of 1024, 10kB, 10MB and 10GB are powers of 1000. Prefixes may
// be small letters. The result is exact; where a fraction of a unit leaves a
// part of a byte (0.1k), that part is dropped.
func ParseSize(text string) (int64, error) {
	n, wrong := parseSize(text)
	if wrong != "" {
		return 0, wrong.with(text)
	}
	return n, nil
}

func parseSize(text string) (int64, problem) {
	if strings.HasPrefix(text, "-") {
		return 0, errPast
	}
	end := strings.IndexFunc(text, func(r rune) bool { return r != '.' && (r < '0' || r > '9') })
	if end < 0 {
		end = len(text)
	}
	whole, frac, point := strings.Cut(text[:end], ".")
	if point && frac == "" || strings.Contains(frac, ".") || whole == "" && frac == "" {
		return 0, errNoSize
	}
	unit, wrong := parseUnit(text[end:])
	if wrong != "" {
		return 0, wrong
	}
	high, n, wrong := scale(whole, unit)
	if wrong != "" {
		return 0, wrong
	}
	more, wrong := scaleFraction(strings.TrimRight(frac, "0"), unit)
	if wrong != "" {
		return 0, wrong
	}
	n, carry := bits.Add64(n, more, 0)
	if high != 0 || carry != 0 || n > math.MaxInt64 {
		return 0, errTooBig
	}
	return int64(n), ""
}

// ParseRate reads a SIZE per second, with or without /s or ps, or a rate in bits, which count by
// powers of 1000: 10M, 10MB/s, 100Mbit, 1Gbit/s, 100Mbps.
func ParseRate(text string) (int64, error) {
	body := strings.TrimSuffix(text, "/s")
	perSecond := strings.TrimSuffix(body, "ps")
	body, bits := strings.CutSuffix(perSecond, "bit")
	if !bits && strings.HasSuffix(text, "bps") {
		body, bits = strings.CutSuffix(perSecond, "b")
	}
	if bits && body != "" && strings.Trim(body[len(body)-1:], "0123456789") != "" {
		body += "B" // for powers of 1000
	}
	n, wrong := parseSize(body)
	switch {
	case wrong == errBits:
		wrong = errBitRate
	case wrong == errNoSize:
		wrong = errNoRate
	case wrong == "" && bits && n > 0 && n < 8:
		wrong = errSlow
	}
	if wrong != "" {
		return 0, wrong.with(text)
	}
	if bits {
		n /= 8
	}
	return n, nil
}

// parseUnit returns how many bytes the unit at the end of a SIZE stands for.
func parseUnit(text string) (uint64, problem) {
	if text == "" || text == "B" {
		return 1, ""
	}
	power := strings.IndexByte(unitLetters, text[0]&^0x20)
	if power < 0 {
		return 0, errNoSize
	}
	var base uint64
	switch text[1:] {
	case "", "iB":
		base = 1024
	case "B":
		base = 1000
	case "b":
		return 0, errBits
	default:
		return 0, errNoSize
	}
	unit := base
	for range power {
		unit *= base
	}
	return unit, ""
}

// scale returns whole*unit in 128 bits.
func scale(whole string, unit uint64) (high, low uint64, wrong problem) {
	if whole == "" {
		return 0, 0, ""
	}
	n, err := strconv.ParseUint(whole, 10, 64)
	if err != nil { // it is all digits, so it can only be out of range
		return 0, 0, errTooBig
	}
	high, low = bits.Mul64(n, unit)
	return high, low, ""
}

// scaleFraction returns 0.frac*unit, rounded down.
func scaleFraction(frac string, unit uint64) (uint64, problem) {
	if frac == "" {
		return 0, ""
	}
	if unit == 1 {
		return 0, errPart
	}
	if len(frac) > maxFraction {
		return 0, errDigits
	}
	n, err := strconv.ParseUint(frac, 10, 64)
	if err != nil { // 18 digits fit
		return 0, errNoSize
	}
	div := uint64(1)
	for range frac {
		div *= 10
	}
	// n < div, so the quotient is smaller than unit and Div64 cannot overflow
	high, low := bits.Mul64(n, unit)
	quo, _ := bits.Div64(high, low, div)
	return quo, ""
}

// Size writes a number of bytes with three significant digits: 1.40GiB,
// 46.8MiB, 468KiB, 12B. Up to 1023 of a unit stay in that unit.
func Size(n int64) string { return formatSize(float64(n)) }

// Bytes writes a number of bytes exactly, and in short: 314,572,800 bytes (300MiB).
func Bytes(n int64) string {
	if n < 1024 {
		return Counted(n, "byte")
	}
	return Counted(n, "byte") + " (" + Size(n) + ")"
}

// Rate writes bytes a second: 468MiB/s.
func Rate(perSecond float64) string { return formatSize(perSecond) + "/s" }

// BitRate writes bytes per second in bits, by powers of 1000 as networks count: 320Mbit/s.
func BitRate(perSecond float64) string {
	number, letter := scaled(8*perSecond, 1000)
	return number + strings.Replace(letter, "K", "k", 1) + "bit/s"
}

func formatSize(v float64) string {
	number, letter := scaled(v, 1024)
	if letter == "" {
		return number + "B"
	}
	return number + letter + "iB"
}

// scaled writes a number in the largest unit, a power of base, of which it has one, and the letter of that
// unit; "" for the number itself, which is rounded.
func scaled(v, base float64) (number, letter string) {
	if v < 0 || v != v {
		v = 0
	}
	if v < base-0.5 {
		return strconv.FormatInt(int64(v+0.5), 10), ""
	}
	unit := -1
	for v >= base-0.5 && unit < len(unitLetters)-1 {
		v /= base
		unit++
	}
	return threeDigits(v), unitLetters[unit : unit+1]
}

// threeDigits writes a number with three significant digits, or all before the point.
func threeDigits(v float64) string {
	digits := 0
	switch {
	case v < 9.995:
		digits = 2
	case v < 99.95:
		digits = 1
	}
	return strconv.FormatFloat(v, 'f', digits, 64)
}

// ParseDuration reads a DUR: a bare number is seconds (5, 0.2), otherwise the
// units of time.ParseDuration (500ms, 2m, 1m30s). Signs are refused.
func ParseDuration(text string) (time.Duration, error) {
	withUnit := text
	if strings.Trim(text, "0123456789.") == "" {
		withUnit += "s"
	}
	d, err := time.ParseDuration(withUnit)
	switch {
	case strings.HasPrefix(text, "-"):
		return 0, errPast.with(text)
	case err != nil || strings.HasPrefix(text, "+"):
		return 0, errNoTime.with(text)
	}
	return d, nil
}

// Duration writes how long something took, as short as it can be said
// with use: 3ms, 0.12s, 8.8s, 2m05s, 1h02m05s.
func Duration(d time.Duration) string {
	switch {
	case d < 100*time.Millisecond:
		return fmt.Sprintf("%dms", max(d, 0).Milliseconds())
	case d < 995*time.Millisecond:
		return fmt.Sprintf("%.2fs", d.Seconds())
	case d < 59950*time.Millisecond:
		return fmt.Sprintf("%.1fs", d.Seconds())
	}
	s := int64(d.Round(time.Second) / time.Second)
	if s < 3600 {
		return fmt.Sprintf("%dm%02ds", s/60, s%60)
	}
	return fmt.Sprintf("%dh%02dm%02ds", s/3600, s/60%60, s%60)
}

// Counted writes a number of things: 1 connection, 1,034 connections.
func Counted(n int64, thing string) string {
	if n != 1 {
		thing += "s"
	}
	return Grouped(n) + " " + thing
}

// Grouped writes a number in groups of three digits.
func Grouped(n int64) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
