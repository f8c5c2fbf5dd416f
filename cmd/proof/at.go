package proof

import (
	"bytes"
	"fmt"
)

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
