package tree

import (
	"bytes"
	"encoding/binary"
	"sync"

	"golang.org/x/sys/unix"
)

// An entry is a name in a directory. Its base is empty behind the last one.
type entry struct {
	base  string
	opens bool // the directory says that it is a file or a directory; false: it may be all the same
}

// A listing reads a directory by getdents64(2), which says of each name what kind of file it has:
// os.File keeps that from those who want no stat of each.
type listing struct {
	fd  int
	buf *[entries]byte
	got []byte // what is left of it
}

var listings = sync.Pool{New: func() any { return new([entries]byte) }}

func newListing(fd int) *listing { return &listing{fd: fd, buf: listings.Get().(*[entries]byte)} }

// close gives the memory back; the descriptor is the caller's.
func (l *listing) close() { listings.Put(l.buf) }

// next returns the next name but "." and "..".
func (l *listing) next() (e entry, err error) {
	for {
		if len(l.got) == 0 {
			n := 0
			err := again(func() error {
				n, err = unix.Getdents(l.fd, l.buf[:])
				return err
			})
			if err != nil || n == 0 {
				return entry{}, err
			}
			l.got = l.buf[:n]
		}
		// struct linux_dirent64: inode and offset of 8 bytes each, the length, the kind, the name.
		n := binary.NativeEndian.Uint16(l.got[16:])
		one := l.got[:n]
		l.got = l.got[n:]
		base, _, _ := bytes.Cut(one[19:], []byte{0})
		if string(base) == "." || string(base) == ".." || binary.NativeEndian.Uint64(one) == 0 {
			continue
		}
		return entry{string(base), one[18] == unix.DT_REG || one[18] == unix.DT_DIR}, nil
	}
}
