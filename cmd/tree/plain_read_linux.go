package tree

import (
	"archive/tar"
	"bytes"
	"time"
)

// A plainReader reads the headers of regular files that are as most programs write them, without
// the allocations of archive/tar. What is unusual in any way is left to archive/tar, the refusals too.
type plainReader struct {
	h           tar.Header
	user, group string // of the last header: most files have the same
}

// maxRecords is how much of an extended header is looked at here, in bytes.
const maxRecords = blockSize

// parse reads the headers that b begins with, and returns how many bytes they take. 0: they are not
// plain, or not all in b.
func (r *plainReader) parse(b []byte) (h *tar.Header, n int) {
	if len(b) < blockSize {
		return nil, 0
	}
	var mtime time.Time
	var path string
	if b[kindAt] == 'x' {
		size, ok := number(b[gidEnd:sizeEnd])
		if !ok || size == 0 || size > maxRecords || len(b) < 3*blockSize || !sealed(b[:blockSize]) || !bytes.Equal(b[linkEnd:magicEnd], []byte(ustar)) || !fields(b) {
			return nil, 0
		}
		if mtime, path, ok = records(b[blockSize : blockSize+size]); !ok {
			return nil, 0
		}
		n = 2 * blockSize
	}
	if n += blockSize; !r.main(b[n-blockSize : n]) {
		return nil, 0
	}
	if !mtime.IsZero() {
		r.h.ModTime = mtime
	}
	if path != "" {
		r.h.Name = path
	}
	return &r.h, n
}

// main reads the header of a regular file.
func (r *plainReader) main(b []byte) bool {
	if b[kindAt] != '0' || !sealed(b) || !allZero(b[headEnd:blockSize]) || !fields(b) {
		return false
	}
	prefix := b[minorEnd:headEnd]
	switch {
	case bytes.Equal(b[linkEnd:magicEnd], []byte(ustar)):
	case bytes.Equal(b[linkEnd:magicEnd], []byte(gnu)) && allZero(prefix):
	default:
		return false
	}
	mode, _ := number(b[nameEnd:modeEnd])
	uid, _ := number(b[modeEnd:uidEnd])
	gid, _ := number(b[uidEnd:gidEnd])
	size, _ := number(b[gidEnd:sizeEnd])
	at, _ := number(b[sizeEnd:timeEnd])
	name := cString(b[:nameEnd])
	if len(name) == 0 {
		return false
	}
	r.h = tar.Header{Typeflag: tar.TypeReg, Name: string(name), Mode: mode, Uid: int(uid), Gid: int(gid), Size: size, ModTime: time.Unix(at, 0)}
	if p := cString(prefix); len(p) > 0 {
		r.h.Name = string(p) + "/" + r.h.Name
	}
	if l := cString(b[linkAt:linkEnd]); len(l) > 0 {
		r.h.Linkname = string(l)
	}
	if u := cString(b[magicEnd:userEnd]); string(u) != r.user {
		r.user = string(u)
	}
	if g := cString(b[userEnd:groupEnd]); string(g) != r.group {
		r.group = string(g)
	}
	r.h.Uname, r.h.Gname = r.user, r.group
	return true
}

// fields tells whether all numbers of a header are plain.
func fields(b []byte) bool {
	for _, f := range [...][2]int{{nameEnd, modeEnd}, {modeEnd, uidEnd}, {uidEnd, gidEnd}, {gidEnd, sizeEnd}, {sizeEnd, timeEnd}, {groupEnd, majorEnd}, {majorEnd, minorEnd}} {
		if _, ok := number(b[f[0]:f[1]]); !ok {
			return false
		}
	}
	return true
}

// sealed tells whether the sum of a header is right.
func sealed(b []byte) bool {
	want, ok := number(b[timeEnd:sumEnd])
	return ok && uint32(want) == sum(b)
}

// number reads octal digits up to a space or a zero byte, behind which there is nothing else. An
// empty field is 0. The longest field has 12 digits: 36 bits.
func number(b []byte) (x int64, ok bool) {
	i := 0
	for ; i < len(b) && b[i] >= '0' && b[i] <= '7'; i++ {
		x = x<<3 | int64(b[i]-'0')
	}
	for ; i < len(b); i++ {
		if b[i] != 0 && b[i] != ' ' {
			return 0, false
		}
	}
	return x, true
}

func cString(b []byte) []byte {
	if i := bytes.IndexByte(b, 0); i >= 0 {
		return b[:i]
	}
	return b
}

// records reads an extended header that has a time, a path, or both, and nothing else.
func records(b []byte) (mtime time.Time, path string, ok bool) {
	for len(b) > 0 {
		digits, rest, _ := bytes.Cut(b, []byte(" "))
		n := 0
		for _, c := range digits {
			if c < '0' || c > '9' || n > maxRecords {
				return mtime, "", false
			}
			n = n*10 + int(c-'0')
		}
		if n <= len(digits)+1 || n > len(b) || b[n-1] != '\n' {
			return mtime, "", false
		}
		rest = rest[:n-len(digits)-2]
		key, value, found := bytes.Cut(rest, []byte("="))
		b = b[n:]
		switch {
		case !found || len(value) == 0:
			return mtime, "", false
		case string(key) == "mtime":
			if mtime, ok = moment(value); !ok {
				return mtime, "", false
			}
		case string(key) == "path" && bytes.IndexByte(value, 0) < 0 && value[len(value)-1] != '/':
			path = string(value)
		default:
			return mtime, "", false
		}
	}
	return mtime, path, true
}

// moment reads seconds, and at most nine digits of a fraction. The year 1 is not among them: it has
// no sign.
func moment(b []byte) (t time.Time, ok bool) {
	whole, fraction, dot := bytes.Cut(b, []byte("."))
	if len(whole) == 0 || len(whole) > 11 || len(fraction) > 9 || dot && len(fraction) == 0 {
		return t, false
	}
	sec, nsec := int64(0), int64(0)
	for _, c := range whole {
		if c < '0' || c > '9' {
			return t, false
		}
		sec = sec*10 + int64(c-'0')
	}
	for i := range 9 {
		c := byte('0')
		if i < len(fraction) {
			c = fraction[i]
		}
		if c < '0' || c > '9' {
			return t, false
		}
		nsec = nsec*10 + int64(c-'0')
	}
	return time.Unix(sec, nsec), true
}
