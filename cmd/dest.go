package cmd

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/zcp-go/zcp/transfer"
)

// A dest is where bytes are written. commit ends it well; after a failure, its own too, abandon ends it.
type dest struct {
	end     *transfer.Endpoint
	commit  func() error  // everything is in: make it last
	abandon func() string // after a failure; says what was kept and where, or ""
}

// partSuffix is what a file is called while it is not complete.
const partSuffix = ".part"

// A destPlan is a DST that was looked at and not opened yet: recv opens it only
// when a connection is there, and refuses what cannot work before it listens.
type destPlan struct {
	op      Operand
	out     Output
	real    string      // path with its symbolic links followed
	old     fs.FileInfo // what is at real; nil: nothing
	viaPart bool        // written beside and renamed
}

// planDest looks at DST. In the file recv writes, in place of which it renames, a
// missing permission is told now and not after the sender has connected.
func planDest(op Operand, out Output, inPlace bool) (*destPlan, error) {
	d := &destPlan{op: op, out: out}
	if op.Kind != File {
		return d, nil
	}
	var err error
	if d.real, d.old, err = followLinks(op.Path); err != nil {
		return nil, fmt.Errorf("%s: %w", op, plain(err))
	}
	if d.old != nil && d.old.IsDir() {
		return nil, fmt.Errorf("%s: %w", op, unix.EISDIR)
	}
	if out.NoClobber && d.old != nil {
		return nil, &Failure{Err: fmt.Errorf("%s: %w", op, unix.EEXIST), Hint: "--no-clobber refuses to overwrite it"}
	}
	regular := d.old == nil || d.old.Mode().IsRegular()
	d.viaPart = regular && !out.Append && !inPlace
	if d.viaPart {
		return d, d.checkPart()
	}
	return d, nil
}

// followLinks resolves the symbolic links of path's last element, so that the link
// is kept and the file behind it replaced; that file need not exist.
func followLinks(path string) (string, fs.FileInfo, error) {
	for range 40 { // ELOOP's own limit, path_resolution(7)
		fi, err := os.Lstat(path)
		if errors.Is(err, fs.ErrNotExist) {
			return path, nil, nil
		}
		if err != nil {
			return "", nil, err
		}
		if fi.Mode().Type() != fs.ModeSymlink {
			return path, fi, nil
		}
		to, err := os.Readlink(path)
		if err != nil {
			return "", nil, err
		}
		if !filepath.IsAbs(to) {
			to = filepath.Join(filepath.Dir(path), to)
		}
		path = to
	}
	return "", nil, unix.ELOOP
}

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

// open makes the destination ready for its first byte.
func (d *destPlan) open(ctx context.Context) (*dest, error) {
	switch {
	case d.op.Kind == FD:
		e, err := transfer.Inherit(d.op.FD)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", d.op, plain(err))
		}
		return &dest{end: e, commit: d.flushed(e), abandon: func() string { e.Close(); return "" }}, nil
	case d.op.Kind == Null:
		return d.openPlain(ctx, os.DevNull, unix.O_WRONLY)
	case d.viaPart:
		return d.openPart()
	}
	flags := unix.O_WRONLY
	if d.old == nil || d.old.Mode().IsRegular() {
		flags |= unix.O_CREAT
	}
	if d.out.Append {
		flags |= unix.O_APPEND
	}
	if d.out.NoClobber {
		flags |= unix.O_EXCL
	}
	return d.openPlain(ctx, d.op.Path, flags)
}

// openPlain opens a path to be written itself. Opening a FIFO waits for its reader.
func (d *destPlan) openPlain(ctx context.Context, path string, flags int) (*dest, error) {
	fd, err := openWaiting(ctx, path, flags)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", d.op, plain(err))
	}
	e, err := transfer.Own(fd)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", d.op, plain(err))
	}
	return &dest{end: e, commit: d.flushed(e), abandon: func() string { e.Close(); return "" }}, nil
}

// flushed ends a destination that was written itself: the error of a late write
// (NFS, quota) comes with fsync or close.
func (d *destPlan) flushed(e *transfer.Endpoint) func() error {
	return func() error {
		err := d.sync(e)
		return errors.Join(err, e.Close())
	}
}

func (d *destPlan) sync(e *transfer.Endpoint) error {
	if !d.out.Sync {
		return nil
	}
	// Pipes, sockets and terminals have nothing to sync (fsync(2), EINVAL, EROFS).
	if err := again(func() error { return unix.Fsync(e.FD()) }); err != nil && err != unix.EINVAL && err != unix.EROFS {
		return os.NewSyscallError("fsync", err)
	}
	return nil
}

// openPart makes DST.part, ours alone: created, not followed, locked.
func (d *destPlan) openPart() (*dest, error) {
	part := d.real + partSuffix
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
	return &dest{
		end:     e,
		commit:  func() error { return d.rename(e, part) },
		abandon: func() string { return d.leavePart(e, part) },
	}, nil
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
	if d.old != nil {
		if st, ok := d.old.Sys().(*unixStat); ok {
			// Only root may give files away; whoever may not keeps the file (chown(2)).
			_ = unix.Fchown(e.FD(), int(st.Uid), int(st.Gid))
		}
		if err := unix.Fchmod(e.FD(), uint32(d.old.Mode().Perm())|specialBits(d.old.Mode())); err != nil {
			return os.NewSyscallError("fchmod", err)
		}
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

// again repeats a call that a signal has interrupted.
func again(call func() error) error {
	for {
		if err := call(); err != unix.EINTR {
			return err
		}
	}
}

func open(path string, flags int, mode uint32) (fd int, err error) {
	err = again(func() error {
		fd, err = unix.Open(path, flags|unix.O_CLOEXEC, mode)
		return err
	})
	return fd, err
}

// lock takes the lock that tells other recvs to keep away, or says EWOULDBLOCK.
func lock(fd int) error {
	return again(func() error { return unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB) })
}

// keepsOld tells whether an end without a byte must not replace what DST holds: it
// was a port probe, or a sender that failed before its first byte.
func (d *destPlan) keepsOld() bool {
	return d.viaPart && d.old != nil && d.old.Size() > 0
}

// openWaiting opens a path, which may take for ever (a FIFO without its other side, a
// file whose lease somebody holds), until ctx ends.
func openWaiting(ctx context.Context, path string, flags int) (int, error) {
	type opened struct {
		fd  int
		err error
	}
	done := make(chan opened, 1)
	go func() {
		fd, err := open(path, flags|unix.O_NOCTTY, 0o666)
		done <- opened{fd, err}
	}()
	select {
	case o := <-done:
		return o.fd, o.err
	case <-ctx.Done():
		return -1, context.Cause(ctx)
	}
}

// plain strips the name of the operation and the path from an error: messages name
// the file in the user's words.
func plain(err error) error {
	var p *fs.PathError
	var l *os.LinkError
	var s *os.SyscallError
	switch {
	case errors.As(err, &p):
		return plain(p.Err)
	case errors.As(err, &l):
		return plain(l.Err)
	case errors.As(err, &s):
		return s.Err
	}
	return err
}
