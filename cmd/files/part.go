package files

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/zcp-go/zcp/cmd/exit"
	"github.com/zcp-go/zcp/cmd/text"
	"github.com/zcp-go/zcp/transfer"
)

// partSuffix is what a file is called while it is not complete.
const partSuffix = ".part"

// checkPart refuses a DST beside which no .part can be made or which cannot be
// renamed onto, with the way around it.
func (p *Plan) checkPart() error {
	dir := filepath.Dir(p.real)
	var err error
	if strings.HasSuffix(p.real, "/") {
		err = unix.EISDIR
	} else if err = unix.Faccessat(unix.AT_FDCWD, dir, unix.W_OK|unix.X_OK, unix.AT_EACCESS); err == nil && p.old != nil && mountPoint(p.real) {
		err = errors.New("it is a mount point")
	}
	if err == nil {
		return p.checkTaken()
	}
	f := &exit.Failure{Err: fmt.Errorf("%s: cannot be written: %w", p.name, exit.Cause(err))}
	if p.old != nil || errors.Is(err, unix.EACCES) || errors.Is(err, unix.EROFS) {
		f.Hint = p.inPlaceHint()
	}
	return f
}

func (p *Plan) inPlaceHint() string {
	return fmt.Sprintf("to write it in place: zcp recv ... > %s", p.name)
}

// checkTaken refuses early what openPart would refuse: a .part that is no file, or
// that another zcp is writing.
func (p *Plan) checkTaken() error {
	fd, err := open(p.real+partSuffix, unix.O_WRONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err == unix.ENOENT {
		return nil
	}
	if err != nil {
		return p.partRefused(err)
	}
	defer unix.Close(fd)
	if !isRegular(fd) {
		return p.partRefused(unix.EEXIST)
	}
	if err := lock(fd); err != nil {
		return p.partRefused(err)
	}
	return nil
}

var errTaken = errors.New("another zcp is receiving into it")

func (p *Plan) partRefused(err error) error {
	part := p.partName()
	switch err {
	case unix.EWOULDBLOCK:
		return &exit.Failure{Err: fmt.Errorf("%s: %w", p.name, errTaken)}
	case unix.EEXIST, unix.ELOOP, unix.ENXIO, unix.EISDIR:
		return &exit.Failure{Err: fmt.Errorf("%s: %s exists and is not a regular file", p.name, part), Hint: "remove it, or find out what made it"}
	}
	return &exit.Failure{Err: fmt.Errorf("%s: %s: %w", p.name, part, err), Hint: p.inPlaceHint()}
}

// openPart makes DST.part, ours alone: created, not followed, locked.
func (p *Plan) openPart() (*Output, error) {
	part := p.real + partSuffix
	p.refresh()
	mode := uint32(0o666)
	if p.old != nil {
		mode = 0o600 // what may be secret is not shown to others before it has its mode
	}
	fd, err := createLocked(part, mode)
	if err != nil {
		return nil, p.partRefused(err)
	}
	e, err := transfer.Own(fd)
	if err == nil && p.old == nil {
		e.Preallocate()
	}
	return p.output(e, part, err)
}

// refresh looks at what is to be replaced now: hours may have passed since the plan was made.
func (p *Plan) refresh() {
	if fi, err := os.Lstat(p.real); err == nil && fi.Mode().IsRegular() && !p.options.NoClobber {
		p.old = fi
	}
}

// partName is the .part in the user's words.
func (p *Plan) partName() string { return text.Quote(p.name.Path + partSuffix) }

// leavePart says what is left of a transfer that failed, and removes a .part that is empty.
// The endpoint may be closed already: then the failure came after that.
func (o *Output) leavePart() string {
	var size int64
	if o.End.FD() < 0 {
		fi, err := os.Lstat(o.part)
		if err != nil {
			return ""
		}
		size = fi.Size()
	} else {
		size = o.End.FileSize()
		ours := sameName(o.End.FD(), o.part)
		if ours && size == 0 {
			os.Remove(o.part)
		}
		if o.End.Close(); !ours {
			return "" // another process has taken it away
		}
	}
	if size == 0 {
		return ""
	}
	return fmt.Sprintf("%s holds %s", o.plan.partName(), text.Size(size))
}

// createLocked creates path and locks it. An old regular file that is not
// locked is replaced. Between a look and a step another process may do the same, so the
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
func (o *Output) rename() error {
	if err := o.sync(); err != nil {
		return err
	}
	p := o.plan
	p.refresh()
	if p.old != nil {
		o.End.StartWriteback()
	}
	if err := p.carryOver(o.End.FD()); err != nil {
		return err
	}
	if !sameName(o.End.FD(), o.part) {
		return fmt.Errorf("%s was removed or replaced by another process", p.partName())
	}
	if err := o.End.Close(); err != nil {
		return err
	}
	if err := renameOver(o.part, p.real, p.options.NoClobber); err != nil {
		return fmt.Errorf("cannot rename %s: %w", p.partName(), err)
	}
	if !p.options.Sync {
		return nil
	}
	return syncDir(filepath.Dir(p.real))
}

// carryOver gives the new file the owner, where that is allowed, and the mode of what it replaces.
func (p *Plan) carryOver(fd int) error {
	if p.old == nil {
		return nil
	}
	mode := uint32(p.old.Mode().Perm()) | specialBits(p.old.Mode())
	if st, ok := p.old.Sys().(*unixStat); ok {
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
