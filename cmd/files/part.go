package files

import (
	"cmp"
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
	} else if err = unix.Faccessat(unix.AT_FDCWD, dir, unix.W_OK|unix.X_OK, unix.AT_EACCESS); err == nil {
		err = replaceable(p.real, p.old != nil)
	}
	if err == nil {
		return p.checkTaken()
	}
	switch {
	case p.old != nil:
	case errors.Is(err, unix.ENOENT):
		return &exit.Failure{Err: fmt.Errorf("%s: %s does not exist", p.name, text.Quote(filepath.Dir(p.name.Path)))}
	case err != unix.EISDIR:
		return &exit.Failure{Err: fmt.Errorf("cannot create %s: %w", p.partName(), exit.Cause(err))}
	}
	return &exit.Failure{Err: fmt.Errorf("%s: cannot be written: %w", p.name, exit.Cause(err)), Hint: p.inPlaceHint()}
}

// inPlaceHint is the way around a .part that cannot be, where DST itself can be written.
func (p *Plan) inPlaceHint() string {
	if p.old == nil || unix.Faccessat(unix.AT_FDCWD, p.real, unix.W_OK, unix.AT_EACCESS) != nil {
		return ""
	}
	return fmt.Sprintf("to write it in place: zcp recv ... > %s", p.name)
}

// checkTaken refuses early what openPart would refuse: a .part that is not a regular file, or
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
	if p.options.Resume && foreign(fd) {
		return p.partRefused(errForeign)
	}
	if err := lock(fd); err != nil { // also where locks are refused: then its writer may live
		return p.partRefused(noLock(err))
	}
	return nil
}

var errTaken = errors.New("another zcp is receiving into it")

func (p *Plan) partRefused(err error) error {
	part := p.partName()
	switch err {
	case unix.EWOULDBLOCK:
		return &exit.Failure{Err: fmt.Errorf("%s: %w", p.name, errTaken)}
	case errForeign:
		return &exit.Failure{Err: fmt.Errorf("%s: %s is not taken up: %w", p.name, part, err), Hint: "remove it, or receive without --resume"}
	case unix.EEXIST, unix.ELOOP, unix.ENXIO, unix.EISDIR:
		return &exit.Failure{Err: fmt.Errorf("%s: %s exists and is not a regular file", p.name, part), Hint: "remove it, or find out what made it"}
	}
	f := &exit.Failure{Err: fmt.Errorf("%s: %s: %w", p.name, part, err), Hint: p.inPlaceHint()}
	if refused, ok := errors.AsType[*lockError](err); ok {
		err = refused.error
		f.Err = fmt.Errorf("%s: %s exists, and no lock tells whether it is being written: %w", p.name, part, err)
		f.Hint = "remove it if no other zcp writes it"
	}
	return f
}

// openPart makes DST.part, ours alone: created, not followed, locked. Where names are
// counted, one that is taken by now gives way to the next.
func (p *Plan) openPart() (*Output, error) {
	p.refresh()
	mode := uint32(0o666)
	if p.old != nil {
		mode = 0o600 // what may be secret is not shown to others before it has its mode
	}
	fd, locked, err := p.openLocked(p.real+partSuffix, mode)
	if err == unix.EWOULDBLOCK && p.next != nil {
		if err := p.takeNext(); err != nil {
			return nil, err
		}
		return p.openPart()
	}
	if err != nil {
		return nil, p.partRefused(err)
	}
	e, err := transfer.Own(fd)
	if err == nil && p.old == nil {
		e.Preallocate()
	}
	o, err := p.output(e, p.real+partSuffix, err)
	if err == nil && locked != nil {
		o.note("%s: the file system has no locks (%v): another recv may take it", p.partName(), locked)
	}
	return o, err
}

// takeNext gives the plan the next name that is free.
func (p *Plan) takeNext() error {
	n, err := p.next()
	if err == nil {
		p.name, p.real, p.old = n.name, n.real, n.old
	}
	return err
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
	defer o.unlock()
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
	return fmt.Sprintf("%s holds %s", o.called, text.Size(size))
}

// rename makes DST complete: contents on the disk where that was asked for, mode and
// owner of what was there, closed without an error, then the name. The lock lasts until
// after the rename: a descriptor more keeps it while close(2) tells its error.
func (o *Output) rename() error {
	if err := o.sync(); err != nil {
		return err
	}
	p := o.plan
	p.refresh()
	if p.old != nil {
		o.End.StartWriteback()
	}
	o.carryOver()
	if !sameName(o.End.FD(), o.part) {
		return fmt.Errorf("%s was removed or replaced by another process", o.called)
	}
	if err := o.keepLock(); err != nil {
		return err
	}
	if err := o.End.Close(); err != nil {
		return err
	}
	if err := o.place(); err != nil {
		return err
	}
	o.unlock()
	if !p.options.Sync {
		return nil
	}
	return o.syncDir(filepath.Dir(p.real))
}

// place gives the .part its name, or the next one that is free where names are counted.
func (o *Output) place() error {
	p := o.plan
	for {
		err := renameOver(o.part, p.real, p.options.NoClobber)
		if errors.Is(err, unix.EEXIST) && p.next != nil {
			if err = p.takeNext(); err == nil {
				continue
			}
		}
		if err != nil {
			return fmt.Errorf("cannot rename %s: %w", o.called, exit.Cause(err))
		}
		return nil
	}
}

// carryOver gives the new file the owner, where that is allowed, and the mode of what it
// replaces. CIFS, vfat, FUSE and 9p refuse one or both, and the bytes are stored: what cannot
// be kept is said. The mode is then the .part's, which only its owner can read.
func (o *Output) carryOver() {
	p, fd := o.plan, o.End.FD()
	if p.old == nil {
		return
	}
	mode := uint32(p.old.Mode().Perm()) | specialBits(p.old.Mode())
	if st, ok := p.old.Sys().(*unixStat); ok {
		// Only root gives files away; a member of the group may still give it that (chown(2)).
		group := unix.Fchown(fd, -1, int(st.Gid))
		owner := unix.Fchown(fd, int(st.Uid), -1)
		if owner != nil {
			mode &^= unix.S_ISUID // it was not meant for this owner
		}
		if group != nil {
			mode &^= unix.S_ISGID
		}
		if err := cmp.Or(owner, group); err != nil {
			o.note("%s: its owner or group cannot be kept: %v", p.name, err)
		}
	}
	if err := unix.Fchmod(fd, mode); err != nil {
		o.note("%s: its mode cannot be kept: %v", p.name, err)
	}
	if err := keepACL(fd, p.real); err != nil {
		o.note("%s: its access control list (ACL) cannot be kept: %v", p.name, err)
	}
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

// syncDir puts the new name on the disk. Some file systems have nothing to sync in a folder
// (EINVAL, as for special files), and one that may be written but not read cannot be opened:
// the contents are on the disk, so that is said. EIO and the like are failures.
func (o *Output) syncDir(dir string) error {
	fd, err := open(dir, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err == nil {
		err = again(func() error { return unix.Fsync(fd) })
		unix.Close(fd)
	}
	switch err {
	case unix.EIO, unix.ENOSPC, unix.EDQUOT:
		return os.NewSyscallError("fsync", err)
	case nil, unix.EINVAL:
	default:
		o.note("%s: the folder cannot be synced: %v", text.Quote(dir), err)
	}
	return nil
}
