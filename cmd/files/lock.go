package files

import (
	"os"

	"golang.org/x/sys/unix"
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
type lockError struct{ err error }

func (e *lockError) Error() string { return e.err.Error() }
func (e *lockError) Unwrap() error { return e.err }

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
