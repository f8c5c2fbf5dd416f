package proof

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"strconv"
)

// MaxLine is the length in bytes of the longest line, its newline counted.
const MaxLine = 256

// A Line is one of the things that a receiver says to its sender: [Want], [Busy] or [Done].
// On the wire it is "zcp1 WORD KEY=VALUE..." in ASCII and a newline. Its String is that without
// the newline.
type Line interface {
	String() string
	line()
}

// A Want asks for the bytes from From on. The answer repeats Key, so that the asker knows that
// it was heard.
type Want struct {
	From int64 // bytes that are there
	Key  uint64
}

// Busy is a sign of life after the last byte.
type Busy struct {
	What  string // one of the constants below
	N     int64  // per cent of VerifyDone, bytes of PassedOn
	Bytes int64  // how far it has come, where a per cent takes long; 0: not said
}

// What a receiver is busy with.
const (
	VerifyDone = "verify" // reading back what it has stored
	PassedOn   = "to"     // passing on to the next in a chain
)

// Done is a receipt: so much is stored, and this is its digest.
type Done struct {
	Bytes  int64
	Alg    string // SHA256 or BLAKE3
	Digest string // in lower-case hex
	Hops   int64  // machines of a chain that it speaks for, behind the one that says it
}

func (Want) line() {}
func (Busy) line() {}
func (Done) line() {}

func (w Want) String() string { return fmt.Sprintf("zcp1 want from=%d key=%016x", w.From, w.Key) }
func (d Done) String() string {
	line := fmt.Sprintf("zcp1 done bytes=%d %s=%s", d.Bytes, d.Alg, d.Digest)
	if d.Hops > 0 {
		line += fmt.Sprintf(" hops=%d", d.Hops)
	}
	return line
}

func (b Busy) String() string {
	s := fmt.Sprintf("zcp1 busy %s=%d", b.What, b.N)
	if b.Bytes > 0 {
		s += fmt.Sprintf(" bytes=%d", b.Bytes)
	}
	return s
}

// A Parser finds lines in what a peer sends, whatever its chunks. What is not a line, is too
// long, or has an unknown word or a bad value is passed over, so that any peer may send anything.
// The zero value is ready. It never allocates more than a line.
type Parser struct {
	held    [MaxLine]byte // the beginning of a line
	n       int
	passing bool // the line is too long: the rest of it is passed over
}

// Feed takes the next bytes and calls found with each line that they complete.
func (p *Parser) Feed(b []byte, found func(Line)) {
	for len(b) > 0 {
		part, ended := b, false
		if i := bytes.IndexByte(b, '\n'); i >= 0 {
			part, ended = b[:i], true
			b = b[i+1:]
		} else {
			b = nil
		}
		if p.n+len(part) >= MaxLine {
			p.passing = true
		}
		if !p.passing {
			p.n += copy(p.held[p.n:], part)
		}
		if !ended {
			continue
		}
		if !p.passing {
			if l := Parse(p.held[:p.n]); l != nil {
				found(l)
			}
		}
		p.n, p.passing = 0, false
	}
}

// Parse reads one line without its newline. It returns nil for what is not one of ours.
func Parse(b []byte) Line {
	if len(b) >= MaxLine {
		return nil
	}
	words := bytes.Split(b, []byte{' '})
	if len(words) < 2 || string(words[0]) != "zcp1" {
		return nil
	}
	f, ok := readFields(words[2:])
	if !ok {
		return nil
	}
	switch string(words[1]) {
	case "want":
		return f.want()
	case "busy":
		return f.busy()
	case "done":
		return f.done()
	}
	return nil
}

// fields are the keys and values of a line. Keys that are not known are passed over, for a
// later version may say more.
type fields map[string]string

func readFields(words [][]byte) (f fields, ok bool) {
	f = make(fields, len(words))
	for _, w := range words {
		k, v, ok := bytes.Cut(w, []byte{'='})
		if _, twice := f[string(k)]; !ok || twice || len(k) == 0 {
			return nil, false
		}
		f[string(k)] = string(v)
	}
	return f, true
}

func (f fields) want() Line {
	from, ok := f.number("from")
	key, okKey := f.key()
	if !ok || !okKey {
		return nil
	}
	return Want{from, key}
}

// key is a number of 16 hexadecimal digits.
func (f fields) key() (uint64, bool) {
	key, err := strconv.ParseUint(f["key"], 16, 64)
	return key, err == nil && len(f["key"]) == 16
}

func (f fields) busy() Line {
	for _, what := range []string{VerifyDone, PassedOn} {
		if n, ok := f.number(what); ok {
			at, _ := f.number("bytes") // it may be missing
			return Busy{what, n, at}
		}
	}
	return nil
}

func (f fields) done() Line {
	n, ok := f.number("bytes")
	if !ok {
		return nil
	}
	hops, said := f.number("hops")
	if _, any := f["hops"]; any && !said {
		return nil
	}
	for _, alg := range []string{SHA256, BLAKE3} {
		if d, err := hex.DecodeString(f[alg]); err == nil && len(d) == Size {
			return Done{n, alg, hex.EncodeToString(d), hops}
		}
	}
	return nil
}

// number is a decimal number from 0 to the largest size of a file, in digits alone.
func (f fields) number(key string) (int64, bool) {
	n, err := strconv.ParseUint(f[key], 10, 63)
	return int64(n), err == nil
}

// Overlap is how many bytes are sent again where a transfer is resumed, so that the receiver can
// compare them with what it has. Where it has fewer, it is all of them.
const Overlap = 1 << 20

// An At is the answer to a [Want], and the only line that a sender ever says. The payload follows it:
// the bytes of a file of Size from From on.
type At struct {
	From, Size int64
	Key        uint64 // that of the Want
}

// AtPrefix is what the line of an At begins with.
const AtPrefix = "zcp1 at "

func (a At) String() string {
	return fmt.Sprintf(AtPrefix+"from=%d size=%d key=%016x", a.From, a.Size, a.Key)
}

// Answer is the answer to a Want by the sender of a file of size bytes.
func (w Want) Answer(size int64) At { return At{w.From - min(w.From, Overlap), size, w.Key} }

// ReadAt reads an At from the first bytes of a stream, and returns what comes behind its line. more
// says that too little has come to tell; without more, ok says whether the stream begins with one.
func ReadAt(b []byte) (a At, rest []byte, more, ok bool) {
	n := min(len(b), len(AtPrefix))
	if string(b[:n]) != AtPrefix[:n] {
		return At{}, nil, false, false
	}
	end := bytes.IndexByte(b[:min(len(b), MaxLine)], '\n')
	if end < 0 {
		return At{}, nil, len(b) < MaxLine, false
	}
	f, ok := readFields(bytes.Split(b[n:end], []byte{' '}))
	from, okFrom := f.number("from")
	size, okSize := f.number("size")
	key, okKey := f.key()
	return At{from, size, key}, b[end+1:], false, ok && okFrom && okSize && okKey
}
