package text

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Quote renders a name for people: as it is where every character of it can be
// seen, otherwise in double quotes with escapes, so that a file called
// "\x1b[2J" cannot act on the terminal, nor one with a right-to-left override
// lie about its end. A name that starts with a quote is quoted too, so that the
// two forms cannot be taken for each other, and so is one that ends in a colon
// (zero:), which a message would double.
func Quote(name string) string {
	if name == "" || name[0] == '"' || name[len(name)-1] == ':' || Unseen(name) {
		return strconv.Quote(name)
	}
	return name
}

// Join writes a list of things with sep between them.
func Join[T fmt.Stringer](list []T, sep string) string {
	words := make([]string, len(list))
	for i, one := range list {
		words[i] = one.String()
	}
	return strings.Join(words, sep)
}

// Unseen finds what does not show as itself: control characters, invalid
// UTF-8, and the invisible format characters (bidi overrides, zero widths) and
// odd spaces that unicode.IsPrint leaves out.
func Unseen(s string) bool {
	for i, r := range s {
		if r == utf8.RuneError {
			if _, size := utf8.DecodeRuneInString(s[i:]); size == 1 {
				return true
			}
		}
		if !unicode.IsPrint(r) {
			return true
		}
	}
	return false
}

// Escape is the last gate before a terminal: it escapes, without quotes, what
// a line still holds that does not show as itself. Lines made of quoted names
// pass unchanged.
func Escape(line string) string {
	if !Unseen(line) {
		return line
	}
	var b strings.Builder
	for i := range line {
		_, size := utf8.DecodeRuneInString(line[i:])
		part := line[i : i+size]
		if Unseen(part) {
			part = strconv.Quote(part)
			part = part[1 : len(part)-1]
		}
		b.WriteString(part)
	}
	return b.String()
}
