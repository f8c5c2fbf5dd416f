package tree

import (
	"archive/tar"
	"errors"
	"os"
	"path"
	"strings"

	"golang.org/x/sys/unix"
)

// A level is a directory on the way to the member at hand. It is open, so that what is made in
// it is made there, wherever its name leads meanwhile.
type level struct {
	name string // below dst; "." is dst
	f    *os.File
	h    *tar.Header // what it gets when all that is in it is there; nil: nothing

	xattrs []xattr
	size   int // of these, in bytes

	born born
}

// attributes keeps what the directory gets at the end, in little memory: attributes that would be
// too much are set now.
func (l *level) attributes(h *tar.Header, u *Unpacker) {
	u.kept -= l.size
	l.xattrs, l.size = u.xattrs(h)
	if u.kept += l.size; u.kept > keptXattrs {
		if err := setXattrs(int(l.f.Fd()), l.xattrs); err != nil {
			u.refuse(shortened(h.Name), err)
		}
		u.kept -= l.size
		l.xattrs, l.size = nil, 0
	}
	h.PAXRecords, h.Linkname = nil, ""
	l.h = h
}

// dirs is the way from dst to the member at hand: its memory is bounded by the length of a name.
type dirs struct {
	root *os.Root
	way  []level
	done func(level) // gives a directory its mode and time
}

// leave closes the levels that name is not in.
func (d *dirs) leave(name string) {
	for len(d.way) > 0 {
		last := d.way[len(d.way)-1]
		if last.name == "." && name != "" || last.name == name || strings.HasPrefix(name, last.name+"/") {
			return
		}
		if last.h != nil {
			d.done(last)
		}
		last.f.Close() // nothing was written to it
		d.way = d.way[:len(d.way)-1]
	}
}

// enter returns the open directory of that name; those that are missing are made. os.Root
// resolves the name, and no symbolic link leads it out of dst, even if it is changed meanwhile.
func (d *dirs) enter(name string) (*level, error) {
	d.leave(name)
	at := "."
	if len(d.way) > 0 {
		at = d.way[len(d.way)-1].name
	} else if err := d.push("."); err != nil {
		return nil, err
	}
	if name == at || name == "." {
		return &d.way[len(d.way)-1], nil
	}
	for base := range strings.SplitSeq(strings.TrimPrefix(name, at+"/"), "/") {
		parent := &d.way[len(d.way)-1]
		err := unix.Mkdirat(int(parent.f.Fd()), base, 0o777)
		if err != nil && err != unix.EEXIST {
			return nil, err
		}
		if err := d.push(path.Join(parent.name, base)); err != nil {
			return nil, err
		}
	}
	return &d.way[len(d.way)-1], nil
}

func (d *dirs) push(name string) error {
	f, err := d.root.OpenFile(name, os.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if errors.Is(err, unix.ENOTDIR) {
		err = unix.ENOTDIR
	}
	if err != nil {
		return err
	}
	d.way = append(d.way, level{name: name, f: f})
	return nil
}
