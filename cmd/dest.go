package cmd

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

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

// open makes the destination ready for its first byte.
func (d *destPlan) open(ctx context.Context, meanwhile attend) (*dest, error) {
	switch {
	case d.op.Kind == FD:
		e, err := inherit(d.op)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", d.op, plain(err))
		}
		return &dest{end: e, commit: d.flushed(e), abandon: func() string { e.Close(); return "" }}, nil
	case d.op.Kind == Null:
		return d.openPlain(ctx, os.DevNull, unix.O_WRONLY, meanwhile)
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
	return d.openPlain(ctx, d.op.Path, flags, meanwhile)
}

// openPlain opens a path to be written itself. Opening a FIFO waits for its reader.
func (d *destPlan) openPlain(ctx context.Context, path string, flags int, meanwhile attend) (*dest, error) {
	fd, err := openWaiting(ctx, path, flags, meanwhile)
	if ofTransfer(err) {
		return nil, err
	}
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

// keepsOld tells whether an end without a byte must not replace what DST holds: it
// was a port probe, or a sender that failed before its first byte.
func (d *destPlan) keepsOld() bool {
	fi, err := os.Lstat(d.real) // now: hours may have passed since the plan was made
	return d.viaPart && err == nil && fi.Mode().IsRegular() && fi.Size() > 0
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
