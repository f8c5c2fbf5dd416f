package tree

import (
	"archive/tar"
	"io"

	"golang.org/x/sys/unix"
)

// isSmall tells whether a file is written in one piece: it is no larger than what is read ahead, and
// nothing has to see its bytes pass.
func (u *Unpacker) isSmall(h *tar.Header) bool {
	return h.Typeflag == tar.TypeReg && h.Size <= smallBody && len(h.PAXRecords) == 0 &&
		u.Transfer.Digest == nil && len(u.Transfer.Limits) == 0
}

// born is what a new file of a directory gets from the kernel: owner and group, which the directory
// may decide (setgid, grpid), and of one mode whether it is given as it was asked for, without the
// bits that a umask or a default ACL take away. It is found out by fstat(2) of the first files, and
// saves the others fchown(2) and fchmod(2).
type born struct {
	known    bool
	uid, gid uint32
	exact    uint32 // this mode is, where isExact
	isExact  bool
}

// small writes a small file as file does, with as few system calls as it takes: for a file that
// needs nothing else these are openat, write, utimensat and close.
func (u *Unpacker) small(l *level, dir int, base string, h *tar.Header) error {
	if ok, err := u.in.have(int(h.Size)); err != nil || !ok {
		if err == nil {
			err = io.ErrUnexpectedEOF
		}
		return fatal{err}
	}
	mode, asked := u.mode(h), uint32(0o600)
	if l.born.known && mode&^0o777 == 0 && !u.foreign(l, h) {
		asked = mode
	}
	temp, fd, err := u.createFree(dir, base, asked)
	if err != nil {
		return err
	}
	body := u.in.take(int(h.Size))
	err = writeAll(fd, body)
	if err != nil {
		err = fatal{problem(shortened(h.Name), err)}
	} else {
		u.Transfer.Wrote(len(body))
		err = u.finishSmall(l, fd, h, asked, mode)
	}
	if cerr := unix.Close(fd); err == nil && cerr != unix.EINTR { // as Endpoint.Close
		err = cerr
	}
	if err == nil {
		return u.rename(dir, temp, base)
	}
	_ = unix.Unlinkat(dir, temp, 0) // it may be gone
	return err
}

// createFree creates a file under its name, or where that cannot be done under one of its own.
func (u *Unpacker) createFree(dir int, base string, mode uint32) (temp string, fd int, err error) {
	temp, fd, err = base, -1, unix.EEXIST
	if u.Fresh { // DST has no name yet: nothing sees the file before it is complete
		fd, err = u.create(dir, temp, mode)
	}
	if err == unix.EEXIST {
		temp = u.temp()
		fd, err = u.create(dir, temp, mode)
	}
	return temp, fd, err
}

// foreign tells whether a file has to be given to another owner than it is born with.
func (u *Unpacker) foreign(l *level, h *tar.Header) bool {
	return u.Owners && (uint32(u.owners.uid(h)) != l.born.uid || uint32(u.owners.gid(h)) != l.born.gid)
}

// finishSmall does what finish does, as far as it is not done already.
func (u *Unpacker) finishSmall(l *level, fd int, h *tar.Header, asked, mode uint32) error {
	got := asked
	if b := &l.born; !b.known || !b.isExact || b.exact != asked {
		var st unix.Stat_t
		if err := unix.Fstat(fd, &st); err != nil {
			return err
		}
		got = uint32(st.Mode & 0o7777)
		b.known, b.uid, b.gid = true, st.Uid, st.Gid
		b.isExact, b.exact = got == asked, asked
	}
	if u.foreign(l, h) {
		if err := unix.Fchown(fd, u.owners.uid(h), u.owners.gid(h)); err != nil {
			return err
		}
	}
	if got != mode {
		if err := unix.Fchmod(fd, mode); err != nil {
			return err
		}
	}
	return futimens(fd, times(h))
}

func writeAll(fd int, b []byte) error {
	for len(b) > 0 {
		var n int
		if err := again(func() (err error) { n, err = unix.Write(fd, b); return err }); err != nil {
			return err
		}
		b = b[n:]
	}
	return nil
}
