package files

import (
	"errors"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"github.com/zcp-go/zcp/transfer"
)

// createLocked creates path, for writing or also for reading, and locks it. An old regular file that is not
// locked is replaced. Between a look and a step another process may do the same, so the
// file that was locked must still be the one with that name. refused tells why a file
// that was created has no lock: O_EXCL alone keeps others away then.
func createLocked(path string, access int, mode uint32) (fd int, refused, err error) {
	for range 100 {
		fd, err := open(path, access|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW, mode)
		if err == nil {
			err = lock(fd)
			switch {
			case lockRefused(err):
				return fd, err, nil
			case err == nil && sameName(fd, path):
				return fd, nil, nil
			}
			if err != nil && err != unix.EWOULDBLOCK && sameName(fd, path) {
				unix.Unlink(path) // an empty one of ours is not left; it may be gone already
			}
			unix.Close(fd)
			if err != nil {
				return -1, nil, err
			}
			continue
		}
		if err != unix.EEXIST {
			return -1, nil, err
		}
		if err := removeUnlocked(path); err != nil && err != unix.ENOENT { // ENOENT: gone meanwhile
			return -1, nil, err
		}
	}
	return -1, nil, unix.EWOULDBLOCK
}

// removeUnlocked removes an old regular file that no process has locked.
func removeUnlocked(path string) error {
	old, err := open(path, unix.O_WRONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	defer unix.Close(old)
	if !isRegular(old) {
		return unix.EEXIST
	}
	if err := lock(old); err != nil || !sameName(old, path) {
		return noLock(err)
	}
	return unix.Unlink(path)
}

// keepLock holds the lock of the .part beyond the close of its endpoint: flock(2) belongs to
// the open file description, which lasts as long as one descriptor of it.
func (o *Output) keepLock() error {
	fd, err := unix.FcntlInt(uintptr(o.End.FD()), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return os.NewSyscallError("fcntl", err)
	}
	o.locked = fd
	return nil
}

// unlock ends what keepLock began.
func (o *Output) unlock() {
	if o.locked > 0 {
		unix.Close(o.locked) // close(2) has told its error by the first descriptor
		o.locked = 0
	}
}

// lock takes the lock that tells other recvs to keep away, or says EWOULDBLOCK.
func lock(fd int) error {
	return again(func() error { return unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB) })
}

// lockRefused tells that there are no locks, which is not that another process has it: NFS
// without lockd says ENOLCK, FUSE and 9p ENOSYS or EOPNOTSUPP, a profile EPERM.
func lockRefused(err error) bool {
	switch err {
	case unix.ENOLCK, unix.ENOSYS, unix.EOPNOTSUPP, unix.ENOTTY, unix.EINVAL, unix.EPERM, unix.EACCES:
		return true
	}
	return false
}

// A lockError is a refusal of the lock itself, which must not be taken for one of open(2).
type lockError struct{ error }

func (e *lockError) Unwrap() error { return e.error }

// noLock marks what lock returned where there are no locks.
func noLock(err error) error {
	if lockRefused(err) {
		return &lockError{err}
	}
	return err
}

func isRegular(fd int) bool {
	var st unix.Stat_t
	return unix.Fstat(fd, &st) == nil && st.Mode&unix.S_IFMT == unix.S_IFREG
}

func sameName(fd int, path string) bool {
	var a, b unix.Stat_t
	return unix.Fstat(fd, &a) == nil && unix.Lstat(path, &b) == nil && a.Dev == b.Dev && a.Ino == b.Ino
}

// errForeign is why a .part is not taken up.
var errForeign = errors.New("it belongs to another user, or has a second name")

// takeUpLocked opens what an earlier attempt has left at path, or creates it, and locks it, to be
// written at its end. It is taken up only if it is a regular file of this user under this name alone:
// any other may be a trap, or be wanted as it is by another process.
func takeUpLocked(path string, mode uint32) (fd int, refused, err error) {
	const flags = unix.O_RDWR | unix.O_NOFOLLOW
	for range 100 {
		fd, err := open(path, flags|unix.O_NONBLOCK, 0)
		created := err == unix.ENOENT
		if created {
			fd, err = open(path, flags|unix.O_CREAT|unix.O_EXCL, mode)
		}
		if err == unix.EEXIST { // another process was faster
			continue
		}
		if err != nil {
			return -1, nil, err
		}
		err = lock(fd)
		switch {
		case err != nil && !lockRefused(err):
		case !isRegular(fd):
			err = unix.EEXIST
		case foreign(fd):
			err = errForeign
		case err != nil && !created:
			err = noLock(err) // its writer may live
		case sameName(fd, path):
			return fd, err, nil
		default: // renamed or removed meanwhile
			unix.Close(fd)
			continue
		}
		unix.Close(fd)
		return -1, nil, err
	}
	return -1, nil, unix.EWOULDBLOCK
}

// openLocked makes the .part, or takes up an old one where that was asked for.
func (p *Plan) openLocked(path string, mode uint32) (fd int, refused, err error) {
	if p.options.Resume {
		return takeUpLocked(path, mode)
	}
	return createLocked(path, p.access(), mode)
}

// foreign tells whether a file is another user's, or has more than one name.
func foreign(fd int) bool {
	var st unix.Stat_t
	err := again(func() error { return unix.Fstat(fd, &st) })
	return err != nil || int(st.Uid) != os.Geteuid() || st.Nlink > 1
}

// ViaPart tells whether DST is written beside, under another name, and renamed.
func (p *Plan) ViaPart() bool { return p.viaPart }

// PartName is the .part in the user's words.
func (o *Output) PartName() string { return o.called }

// ToEnd has the next byte written behind the last, and returns how many there are. The error is
// that of lseek(2).
func (o *Output) ToEnd() (int64, error) {
	n := o.End.FileSize()
	return n, o.End.MoveTo(n)
}

// ReadAt reads what is stored (io.ReaderAt), where it was opened for reading as well.
func (o *Output) ReadAt(b []byte, at int64) (int, error) { return At(o.End).ReadAt(b, at) }

// At reads a regular file without moving its offset.
func At(e *transfer.Endpoint) io.ReaderAt { return fileAt{e} }

type fileAt struct{ e *transfer.Endpoint }

func (f fileAt) ReadAt(b []byte, at int64) (n int, err error) {
	for n < len(b) {
		m := 0
		err := again(func() (err error) { m, err = unix.Pread(f.e.FD(), b[n:], at+int64(n)); return err })
		if err != nil {
			return n, os.NewSyscallError("pread", err)
		}
		if m == 0 {
			return n, io.EOF
		}
		n += m
	}
	return n, nil
}
