package tree

import (
	"archive/tar"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/zcp-go/zcp/cmd/text"
)

// leaf adds the member of what is not a directory, and closes fd unless the batch keeps it. added is
// false where it is left out.
func (w *walker) leaf(dir, fd int, base, name string, st *unix.Stat_t) (added, link bool) {
	id := inode{uint64(st.Dev), st.Ino}
	var err error
	switch kind := st.Mode & unix.S_IFMT; {
	case id == w.skip:
		w.Note(fmt.Sprintf("%s: it is the destination, left out", text.Quote(name)))
		closeFD(fd)
		return false, false
	case st.Nlink > 1 && w.seen(id) != "":
		closeFD(fd)
		link = true
		err = w.add(-1, name, st, tar.TypeLink, w.take(id), 0)
	case kind == unix.S_IFREG:
		err = w.regular(fd, name, st)
	case kind == unix.S_IFLNK:
		var to string
		if to, err = readlink(dir, base, st.Size); err == nil {
			err = w.add(-1, name, st, tar.TypeSymlink, to, 0)
		}
	case kind == unix.S_IFSOCK || !w.Special:
		w.Note(fmt.Sprintf("%s: %s, left out", text.Quote(name), kindName(kind)))
		return false, false
	default:
		err = w.add(-1, name, st, specialType(kind), "", 0)
	}
	if err != nil {
		w.Report(problem(name, err))
		return false, false
	}
	if !link {
		w.remember(id, name, st)
	}
	return true, link
}

func closeFD(fd int) {
	if fd >= 0 {
		unix.Close(fd) // it was only read from
	}
}

func kindName(kind uint32) string {
	switch kind {
	case unix.S_IFSOCK:
		return "a socket"
	case unix.S_IFIFO:
		return "a FIFO (--special sends it)"
	}
	return "a device (--special sends it)"
}

func specialType(kind uint32) byte {
	switch kind {
	case unix.S_IFIFO:
		return tar.TypeFifo
	case unix.S_IFBLK:
		return tar.TypeBlock
	}
	return tar.TypeChar
}

// readlink reads a symbolic link of any length; size is what lstat(2) said, 0 in /proc.
func readlink(dir int, base string, size int64) (string, error) {
	for n := max(size, 255) + 1; n <= 1<<20; n *= 2 {
		b := make([]byte, n)
		got, err := unix.Readlinkat(dir, base, b)
		if err != nil || got < len(b) {
			return string(b[:max(0, got)]), err
		}
	}
	return "", unix.ENAMETOOLONG
}

// seen returns the name under which a file was sent already.
func (w *walker) seen(id inode) string { return w.links[id].name }

// take returns that name, and forgets the file after the last of its names.
func (w *walker) take(id inode) string {
	l := w.links[id]
	if l.left--; l.left == 0 {
		w.cost -= linkCost + len(l.name)
		delete(w.links, id)
	} else {
		w.links[id] = l
	}
	return l.name
}

// remember keeps the name of a file that has others. Beyond linkBudget they are files of their own.
func (w *walker) remember(id inode, name string, st *unix.Stat_t) {
	if _, known := w.links[id]; known || st.Nlink < 2 || st.Mode&unix.S_IFMT != unix.S_IFREG {
		return
	}
	if w.cost+linkCost+len(name) > linkBudget {
		if !w.capped {
			w.Report(problem(name, errors.New("more hard links than fit into 64 MiB: from here on they are sent as files of their own")))
		}
		w.capped = true
		return
	}
	w.cost += linkCost + len(name)
	w.links[id] = link{name, uint64(st.Nlink) - 1}
}

// regular adds the member of a file. A small one is read at once, into the batch.
func (w *walker) regular(fd int, name string, st *unix.Stat_t) error {
	if st.Blocks*512 < st.Size {
		if data := spans(fd, st.Size); data != nil {
			return w.sparse(fd, name, st, data)
		}
	}
	before := len(w.b.buf)
	if err := w.add(fd, name, st, tar.TypeReg, "", st.Size); err != nil {
		unix.Close(fd)
		return err
	}
	if st.Size > smallBody {
		w.b.large = large{name: name, fd: fd, data: []span{{0, st.Size}}, size: st.Size}
		return nil
	}
	defer unix.Close(fd)
	if st.Size == 0 {
		return nil
	}
	start := len(w.b.buf)
	end := start + int(st.Size)
	w.b.buf = slices.Grow(w.b.buf, int(st.Size+padding(st.Size)))[:end]
	n, err := preadFull(fd, w.b.buf[start:end])
	if err != nil {
		w.b.buf = w.b.buf[:before] // the file is left out, its header as well
		return err
	}
	clear(w.b.buf[start+n : end])
	w.b.buf = append(w.b.buf, zeroBlock[:padding(st.Size)]...)
	w.compare(fd, name, st, n)
	return nil
}

func preadFull(fd int, b []byte) (n int, err error) {
	for n < len(b) {
		var m int
		err = again(func() error {
			m, err = unix.Pread(fd, b[n:], int64(n))
			return err
		})
		if n += max(0, m); err != nil || m == 0 {
			return n, err
		}
	}
	return n, nil
}

// compare finds out whether a small file changed while its n bytes were read.
func (w *walker) compare(fd int, name string, st *unix.Stat_t, n int) {
	var after unix.Stat_t
	switch err := unix.Fstat(fd, &after); {
	case int64(n) < st.Size:
		w.Report(changed(name, "became shorter while it was being sent: %s of %s, the rest is zeros", text.Size(int64(n)), text.Size(st.Size)))
	case err != nil || after.Size < st.Size || after.Size == st.Size && after.Mtim != st.Mtim:
		w.Report(changed(name, "changed while it was being sent: what arrived may be a mixture"))
	case after.Size > st.Size:
		w.Note(fmt.Sprintf("%s has grown while it was being sent: what was sent is what it held at the start", text.Quote(name)))
	}
}
