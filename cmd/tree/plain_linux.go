package tree

import (
	"encoding/binary"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// The layout of a header (pax(1), "ustar Interchange Format"): where each field begins and ends.
const (
	nameEnd  = 100
	modeEnd  = 108
	uidEnd   = 116
	gidEnd   = 124
	sizeEnd  = 136
	timeEnd  = 148
	sumEnd   = 156
	linkAt   = 157
	linkEnd  = 257
	magicEnd = 265
	userEnd  = 297
	groupEnd = 329
	majorEnd = 337
	minorEnd = 345
	headEnd  = 500

	kindAt   = 156
	maxOctal = 1<<21 - 1 // of a field of 8 bytes
	maxLong  = 1<<33 - 1 // of a field of 12 bytes
	ustar    = "ustar\x0000"
	gnu      = "ustar  \x00"
)

// appendPlain appends the headers of a regular file as archive/tar writes them, byte for byte, but
// without its allocations: for the many small files of a tree these were a third of the sender's
// time. It writes what has a place in the fields, and a fraction of a second. False: archive/tar is
// to do it, and b is as it was.
func appendPlain(b []byte, name, user, group string, st *unix.Stat_t) ([]byte, bool) {
	at := st.Mtim
	if len(name) > nameEnd || strings.HasSuffix(name, "/") || len(user) > 32 || len(group) > 32 ||
		!ascii(name) || !ascii(user) || !ascii(group) ||
		st.Uid > maxOctal || st.Gid > maxOctal || st.Size < 0 || st.Size > maxLong || at.Sec < 0 || int64(at.Sec) > maxLong {
		return b, false
	}
	if at.Nsec != 0 {
		var ok bool
		if b, ok = appendTime(b, name, int64(at.Sec), int64(at.Nsec)); !ok {
			return b, false
		}
	}
	b = append(b, zeroBlock[:blockSize]...)
	h := b[len(b)-blockSize:]
	copy(h, name)
	octal(h[nameEnd:modeEnd], uint64(st.Mode&0o7777))
	octal(h[modeEnd:uidEnd], uint64(st.Uid))
	octal(h[uidEnd:gidEnd], uint64(st.Gid))
	octal(h[gidEnd:sizeEnd], uint64(st.Size))
	octal(h[sizeEnd:timeEnd], uint64(at.Sec))
	h[kindAt] = '0'
	copy(h[magicEnd:userEnd], user)
	copy(h[userEnd:groupEnd], group)
	octal(h[groupEnd:majorEnd], 0)
	octal(h[majorEnd:minorEnd], 0)
	seal(h)
	return b, true
}

// appendTime appends an extended header with a time of modification.
func appendTime(b []byte, name string, sec, nsec int64) ([]byte, bool) {
	cut := strings.LastIndexByte(name, '/') + 1
	dir := strings.TrimPrefix(name[:cut], "./")
	const own = "PaxHeaders.0/"
	if len(dir)+len(own)+len(name)-cut > nameEnd || !isClean(strings.TrimPrefix(name, "./")) {
		return b, false
	}
	start := len(b)
	b = append(append(b, zeroBlock[:blockSize]...), zeroBlock[:blockSize]...)
	h, record := b[start:start+blockSize], b[start+blockSize:start+blockSize]
	n := copy(h, dir)
	n += copy(h[n:], own)
	copy(h[n:], name[cut:])
	for _, field := range [][2]int{{nameEnd, modeEnd}, {modeEnd, uidEnd}, {uidEnd, gidEnd}, {sizeEnd, timeEnd}} {
		octal(h[field[0]:field[1]], 0)
	}
	h[kindAt] = 'x'
	// " mtime=" and the newline are 8 bytes, the length itself 2: all in all less than 100.
	var digits [32]byte
	value := strconv.AppendInt(digits[:0], sec, 10)
	value = append(value, '.')
	whole := len(value)
	value = strconv.AppendInt(value, 1e9+nsec, 10)
	value = append(value[:whole], value[whole+1:]...) // without the 1
	for value[len(value)-1] == '0' {
		value = value[:len(value)-1]
	}
	record = strconv.AppendInt(record, int64(len(value)+10), 10)
	record = append(record, " mtime="...)
	record = append(append(record, value...), '\n')
	octal(h[gidEnd:sizeEnd], uint64(len(record)))
	seal(h)
	return b, true
}

// ascii tells whether a string has a place in a header as it is.
func ascii(s string) bool {
	for i := range len(s) {
		if s[i] == 0 || s[i] >= 0x80 {
			return false
		}
	}
	return true
}

// octal fills a field with digits and a zero byte.
func octal(field []byte, x uint64) {
	for i := len(field) - 2; i >= 0; i-- {
		field[i] = '0' + byte(x&7)
		x >>= 3
	}
}

// seal writes what a header begins its magic with, and its sum.
func seal(h []byte) {
	copy(h[linkEnd:magicEnd], ustar)
	octal(h[timeEnd:sumEnd-1], uint64(sum(h)))
	h[sumEnd-1] = ' '
}

// isClean tells whether path.Clean leaves a name as it is.
func isClean(name string) bool {
	for base := range strings.SplitSeq(name, "/") {
		if base == "" || base == "." || base == ".." {
			return false
		}
	}
	return true
}

// sum adds up the bytes of a header, its own field as spaces. Four sums of 16 bits at a time have
// room for them: 128 times 255.
func sum(h []byte) (n uint32) {
	const lanes = 0x00ff00ff00ff00ff
	all := uint64(0)
	for i := 0; i < blockSize; i += 8 {
		x := binary.LittleEndian.Uint64(h[i:])
		all += x&lanes + x>>8&lanes
	}
	for ; all > 0; all >>= 16 {
		n += uint32(all & 0xffff)
	}
	for _, c := range h[timeEnd:sumEnd] {
		n -= uint32(c)
	}
	return n + 8*' '
}
