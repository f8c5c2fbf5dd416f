package tree

import (
	"archive/tar"
	"context"
	"errors"
	"io"
	"path"
	"strconv"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/zcp-go/zcp/cmd/text"
	"github.com/zcp-go/zcp/transfer"
)

// file writes a file under a name of its own, and renames it when it is complete.
func (u *Unpacker) file(dir int, base string, h *tar.Header) error {
	temp, fd, err := u.createFree(dir, base, 0o600)
	if err != nil {
		return err
	}
	e, err := transfer.Own(fd)
	if err == nil {
		err = u.fill(e, h)
	}
	if err == nil {
		list, _ := u.xattrs(h)
		err = u.finish(fd, h, list)
	}
	if err == nil {
		err = e.Close()
	}
	if err == nil {
		return u.rename(dir, temp, base)
	}
	if e != nil {
		e.Close() // the failure before it is reported
	}
	_ = unix.Unlinkat(dir, temp, 0) // it may be gone
	return err
}

// fill writes the body. A stream that cannot be read or written on is at its end.
func (u *Unpacker) fill(e *transfer.Endpoint, h *tar.Header) error {
	var err error
	if sparse(h) {
		err = u.fillSparse(e, h.Size)
	} else if h.Size > 0 {
		err = u.in.body(e, h.Size)
	}
	if side, ok := errors.AsType[*transfer.Error](err); ok && side.Side == transfer.Destination {
		err = problem(shortened(h.Name), side.Err)
	}
	if err != nil {
		return fatal{err}
	}
	return nil
}

func (u *Unpacker) create(dir int, base string, mode uint32) (int, error) {
	access := unix.O_WRONLY
	if u.Transfer.ReadBack {
		access = unix.O_RDWR
	}
	return unix.Openat(dir, base, access|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, mode)
}

func sparse(h *tar.Header) bool {
	if h.Typeflag == tar.TypeGNUSparse {
		return true
	}
	for _, key := range []string{"GNU.sparse.major", "GNU.sparse.map", "GNU.sparse.numblocks", "GNU.sparse.size", "GNU.sparse.realsize"} {
		if _, ok := h.PAXRecords[key]; ok {
			return true
		}
	}
	return false
}

// holeUnit is the size of the zeros that become holes: the block of most file systems.
const holeUnit = 4096

// fillSparse writes what is not zero. A size that the file system does not have is refused first.
func (u *Unpacker) fillSparse(e *transfer.Endpoint, size int64) error {
	if err := unix.Ftruncate(e.FD(), size); err != nil {
		return destination("ftruncate", err)
	}
	b := make([]byte, 256<<10)
	for at := int64(0); at < size; {
		if u.in.ctx.Err() != nil {
			return context.Cause(u.in.ctx)
		}
		n, err := io.ReadFull(u.tr, b[:min(size-at, int64(len(b)))])
		if err != nil {
			return err
		}
		if err := u.writeData(e, b[:n], at); err != nil {
			return err
		}
		at += int64(n)
	}
	return nil
}

func (u *Unpacker) writeData(e *transfer.Endpoint, b []byte, at int64) error {
	for i := 0; i < len(b); {
		end := i
		for end < len(b) && !allZero(b[end:min(end+holeUnit, len(b))]) {
			end = min(end+holeUnit, len(b))
		}
		if end == i {
			i += holeUnit
			continue
		}
		if _, err := unix.Seek(e.FD(), at+int64(i), unix.SEEK_SET); err != nil {
			return destination("lseek", err)
		}
		if err := u.writeUnhashed(e, b[i:end]); err != nil {
			return err
		}
		i = end
	}
	return nil
}

// writeUnhashed writes what the digest has got already, when it was read from the stream.
func (u *Unpacker) writeUnhashed(e *transfer.Endpoint, b []byte) error {
	h := u.Transfer.Digest
	u.Transfer.Digest = nil
	_, err := u.Transfer.Write(u.in.ctx, e, b)
	u.Transfer.Digest = h
	return err
}

func destination(op string, err error) error {
	return &transfer.Error{Op: op, Side: transfer.Destination, Err: err}
}

// finish gives an open file or directory its owner, mode, extended attributes and time. The mode comes
// after the owner, which takes setuid and capabilities away (chown(2)). What an attribute is refused with
// is reported, and the file stays.
func (u *Unpacker) finish(fd int, h *tar.Header, xattrs []xattr) error {
	if u.Owners {
		if err := unix.Fchown(fd, u.owners.uid(h), u.owners.gid(h)); err != nil {
			return err
		}
	}
	if err := unix.Fchmod(fd, u.mode(h)); err != nil {
		return err
	}
	if err := setXattrs(fd, xattrs); err != nil {
		u.refuse(shortened(h.Name), err)
	}
	return futimens(fd, times(h))
}

// futimens sets the times of an open file: utimensat(2) without a name, which every kernel knows.
// With AT_EMPTY_PATH it needs Linux 5.8.
func futimens(fd int, ts [2]unix.Timespec) error {
	if _, _, errno := unix.Syscall6(unix.SYS_UTIMENSAT, uintptr(fd), 0, uintptr(unsafe.Pointer(&ts)), 0, 0, 0); errno != 0 {
		return errno
	}
	return nil
}

// mode is the mode without what runs as another user, unless that is wanted.
func (u *Unpacker) mode(h *tar.Header) uint32 {
	mode := uint32(h.Mode) & 0o7777
	if drop := mode & (unix.S_ISUID | unix.S_ISGID); drop != 0 && !u.Special {
		u.Detail(text.Quote(shortened(h.Name)) + ": setuid and setgid dropped (--special keeps them)")
		mode &^= drop
	}
	return mode
}

func times(h *tar.Header) [2]unix.Timespec {
	at := h.ModTime
	if at.IsZero() {
		at = time.Unix(0, 0)
	}
	ts, err := unix.TimeToTimespec(at)
	if err != nil {
		ts = unix.Timespec{}
	}
	return [2]unix.Timespec{{Nsec: unix.UTIME_OMIT}, ts}
}

func (u *Unpacker) finishDir(l level) {
	u.kept -= l.size
	if err := u.finish(int(l.f.Fd()), l.h, l.xattrs); err != nil {
		u.refuse(l.name, err)
	}
}

func (u *Unpacker) symlink(dir int, at string, h *tar.Header) error {
	if h.Linkname == "" || len(h.Linkname) > maxName {
		return errors.New("refused: the link's target is empty or too long")
	}
	if err := unix.Symlinkat(h.Linkname, dir, at); err != nil {
		return err
	}
	return u.finishAt(dir, at, h)
}

// finishAt is finish for what is not opened. No link is followed.
func (u *Unpacker) finishAt(dir int, at string, h *tar.Header) error {
	if u.Owners {
		if err := unix.Fchownat(dir, at, u.owners.uid(h), u.owners.gid(h), unix.AT_SYMLINK_NOFOLLOW); err != nil {
			return err
		}
	}
	ts := times(h)
	return unix.UtimesNanoAt(dir, at, ts[:], unix.AT_SYMLINK_NOFOLLOW)
}

// hardlink links what is in dst, and not what a link in its last element leads to.
func (u *Unpacker) hardlink(dir int, at, to string) error {
	target, err := clean(to)
	if err != nil {
		return errors.New("hard link to " + shortened(to) + ": " + err.Error())
	}
	f, err := u.dirs.root.Open(path.Dir(target))
	if err != nil {
		return err
	}
	defer f.Close()
	return unix.Linkat(int(f.Fd()), path.Base(target), dir, at, 0)
}

// node makes a FIFO or a device.
func (u *Unpacker) node(dir int, at string, h *tar.Header) error {
	kind, dev := uint32(unix.S_IFIFO), uint64(0)
	switch h.Typeflag {
	case tar.TypeChar:
		kind, dev = unix.S_IFCHR, unix.Mkdev(uint32(h.Devmajor), uint32(h.Devminor))
	case tar.TypeBlock:
		kind, dev = unix.S_IFBLK, unix.Mkdev(uint32(h.Devmajor), uint32(h.Devminor))
	}
	if err := unix.Mknodat(dir, at, kind|0o600, int(dev)); err != nil {
		return err
	}
	if err := u.finishAt(dir, at, h); err != nil {
		return err
	}
	// O_PATH opens it without acting on it, and no link in its place is followed.
	fd, err := unix.Openat(dir, at, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil || st.Mode&unix.S_IFMT != kind {
		return errors.New("it was replaced by another process")
	}
	return unix.Chmod("/proc/self/fd/"+strconv.Itoa(fd), u.mode(h))
}
