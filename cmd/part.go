package cmd

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/zcp-go/zcp/transfer"
)

// checkPart refuses a DST beside which no .part can be made or which cannot be
// renamed onto, with the way around it.
func (d *destPlan) checkPart() error {
	dir := filepath.Dir(d.real)
	var err error
	if strings.HasSuffix(d.real, "/") {
		err = unix.EISDIR
	} else if err = unix.Faccessat(unix.AT_FDCWD, dir, unix.W_OK|unix.X_OK, unix.AT_EACCESS); err == nil && d.old != nil && mountPoint(d.real) {
		err = errors.New("it is a mount point")
	}
	if err == nil {
		return d.checkTaken()
	}
	f := &Failure{Err: fmt.Errorf("%s: cannot be replaced: %w", d.op, plain(err))}
	if d.old != nil || errors.Is(err, unix.EACCES) || errors.Is(err, unix.EROFS) {
		f.Hint = d.inPlaceHint()
	}
	return f
}

func (d *destPlan) inPlaceHint() string {
	return fmt.Sprintf("to write it in place: zcp recv ... > %s", d.op)
}

// isStdout tells standard output, by whatever name, from other ends: when its reader
// goes away nobody is left to tell it to.
func isStdout(op Operand) bool { return op.Kind == FD && op.FD == 1 }

// checkTaken refuses early what openPart would refuse: a .part that is no file, or
// that another zcp is writing.
func (d *destPlan) checkTaken() error {
	fd, err := open(d.real+partSuffix, unix.O_WRONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err == unix.ENOENT {
		return nil
	}
	if err != nil {
		return d.partRefused(err)
	}
	defer unix.Close(fd)
	if !isRegular(fd) {
		return d.partRefused(unix.EEXIST)
	}
	if err := lock(fd); err != nil {
		return d.partRefused(err)
	}
	return nil
}

var errTaken = errors.New("another zcp is receiving into it")

func (d *destPlan) partRefused(err error) error {
	part := Quote(d.op.Path + partSuffix)
	switch err {
	case unix.EWOULDBLOCK:
		return fmt.Errorf("%s: %w", d.op, errTaken)
	case unix.EEXIST, unix.ELOOP, unix.ENXIO, unix.EISDIR:
		return &Failure{Err: fmt.Errorf("%s: %s is in the way and is no regular file", d.op, part), Hint: "remove it, or look who made it"}
	}
	return &Failure{Err: fmt.Errorf("%s: %s: %w", d.op, part, err), Hint: d.inPlaceHint()}
}

// openPart makes DST.part, ours alone: created, not followed, locked.
func (d *destPlan) openPart() (*dest, error) {
	part := d.real + partSuffix
	d.lookAgain()
	mode := uint32(0o666)
	if d.old != nil {
		mode = 0o600 // what may be secret is not shown to others before it has its mode
	}
	fd, err := createLocked(part, mode)
	if err != nil {
		return nil, d.partRefused(err)
	}
	e, err := transfer.Own(fd)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", d.op, plain(err))
	}
	if d.old == nil {
		e.AllocateFirst()
	}
	return &dest{
		end:     e,
		commit:  func() error { return d.rename(e, part) },
		abandon: func() string { return d.leavePart(e, part) },
	}, nil
}

// lookAgain looks at what is to be replaced now: hours may have passed since the plan was made.
func (d *destPlan) lookAgain() {
	if fi, err := os.Lstat(d.real); err == nil && fi.Mode().IsRegular() && !d.out.NoClobber {
		d.old = fi
	}
}

// leavePart says what is left of a transfer that failed, and removes what holds nothing
// that anybody could miss. e may be closed already: then the failure came after that.
func (d *destPlan) leavePart(e *transfer.Endpoint, part string) string {
	var size int64
	if e.FD() < 0 {
		fi, err := os.Lstat(part)
		if err != nil {
			return ""
		}
		size = fi.Size()
	} else {
		size = e.FileSize()
		ours := sameName(e.FD(), part)
		if ours && size == 0 {
			os.Remove(part)
		}
		if e.Close(); !ours {
			return "" // somebody has taken it away
		}
	}
	if size == 0 {
		return ""
	}
	return fmt.Sprintf("%s holds %s", Quote(d.op.Path+partSuffix), FormatSize(size))
}

// createLocked creates path and locks it. An old regular file that nobody has
// locked is replaced. Between a look and a step somebody else may do the same, so the
// file that was locked must still be the one with that name.
func createLocked(path string, mode uint32) (int, error) {
	for range 100 {
		fd, err := open(path, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW, mode)
		if err == nil {
			if err = lock(fd); err == nil && sameName(fd, path) {
				return fd, nil
			}
			unix.Close(fd)
			if err != nil {
				return -1, err
			}
			continue
		}
		if err != unix.EEXIST {
			return -1, err
		}
		old, err := open(path, unix.O_WRONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
		if err == unix.ENOENT {
			continue
		}
		if err != nil {
			return -1, err
		}
		if !isRegular(old) {
			err = unix.EEXIST
		} else if err = lock(old); err == nil && sameName(old, path) {
			err = unix.Unlink(path)
		}
		unix.Close(old)
		if err != nil {
			return -1, err
		}
	}
	return -1, unix.EWOULDBLOCK
}

func isRegular(fd int) bool {
	var st unix.Stat_t
	return unix.Fstat(fd, &st) == nil && st.Mode&unix.S_IFMT == unix.S_IFREG
}

func sameName(fd int, path string) bool {
	var a, b unix.Stat_t
	return unix.Fstat(fd, &a) == nil && unix.Lstat(path, &b) == nil && a.Dev == b.Dev && a.Ino == b.Ino
}

// rename makes DST complete: contents on the disk where that was asked for, mode and
// owner of what was there, closed without an error, then the name.
func (d *destPlan) rename(e *transfer.Endpoint, part string) error {
	if err := d.sync(e); err != nil {
		return err
	}
	d.lookAgain()
	if d.old != nil {
		e.Replaces()
	}
	if err := d.carryOver(e.FD()); err != nil {
		return err
	}
	if !sameName(e.FD(), part) {
		return fmt.Errorf("%s was removed or replaced by somebody", Quote(d.op.Path+partSuffix))
	}
	if err := e.Close(); err != nil {
		return err
	}
	if err := renameOver(part, d.real, d.out.NoClobber); err != nil {
		return fmt.Errorf("cannot rename %s: %w", Quote(d.op.Path+partSuffix), err)
	}
	if !d.out.Sync {
		return nil
	}
	return syncDir(filepath.Dir(d.real))
}

// carryOver gives the new file the owner, where that is allowed, and the mode of what it replaces.
func (d *destPlan) carryOver(fd int) error {
	if d.old == nil {
		return nil
	}
	mode := uint32(d.old.Mode().Perm()) | specialBits(d.old.Mode())
	if st, ok := d.old.Sys().(*unixStat); ok {
		// Only root gives files away; a member of the group may still give it that (chown(2)).
		group := unix.Fchown(fd, -1, int(st.Gid))
		if err := unix.Fchown(fd, int(st.Uid), -1); err != nil {
			mode &^= unix.S_ISUID // it was not meant for this owner
		}
		if group != nil {
			mode &^= unix.S_ISGID
		}
	}
	return os.NewSyscallError("fchmod", unix.Fchmod(fd, mode))
}

func specialBits(m fs.FileMode) (bits uint32) {
	for _, b := range []struct {
		go_  fs.FileMode
		unix uint32
	}{{fs.ModeSetuid, unix.S_ISUID}, {fs.ModeSetgid, unix.S_ISGID}, {fs.ModeSticky, unix.S_ISVTX}} {
		if m&b.go_ != 0 {
			bits |= b.unix
		}
	}
	return bits
}

func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	// Some file systems have nothing to sync in a folder (EINVAL, as for special files).
	if err := f.Sync(); !errors.Is(err, unix.EINVAL) {
		return err
	}
	return nil
}

// lock takes the lock that tells other recvs to keep away, or says EWOULDBLOCK.
func lock(fd int) error {
	return again(func() error { return unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB) })
}
