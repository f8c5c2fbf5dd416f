package files

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/zcp-go/zcp/cmd/exit"
	"github.com/zcp-go/zcp/transfer"
)

// Options is how a file is written.
type Options struct {
	Append    bool
	NoClobber bool // refuse to overwrite
	Sync      bool // fsync before Commit returns
	Resume    bool // take up what an earlier attempt has left
}

// A Plan is a DST that was looked at and not opened yet: recv opens it only when a
// connection is there, and refuses what cannot work before it listens.
type Plan struct {
	name    Name
	options Options
	real    string      // path with its symbolic links followed
	old     fs.FileInfo // what is at real; nil: nothing
	viaPart bool        // written beside and renamed
	reads   bool        // opened to be read back as well

	next func() (*Plan, error) // the next name, where names are counted; else nil
}

// Look looks at DST and refuses what cannot work. A regular file is to be written beside and
// renamed, unless inPlace. Errors are *exit.Failure.
func Look(name Name, o Options, inPlace bool) (*Plan, error) {
	p := &Plan{name: name, options: o}
	if name.Path == "" {
		if err := Inherited(name.FD); err != nil {
			return nil, name.problem(err)
		}
		return p, nil
	}
	var err error
	if p.real, p.old, err = followLinks(name.Path); err != nil {
		return nil, name.problem(err)
	}
	if p.old != nil && p.old.IsDir() {
		return nil, name.problem(unix.EISDIR)
	}
	if o.NoClobber && p.old != nil {
		return nil, &exit.Failure{Err: fmt.Errorf("%s: %w", name, unix.EEXIST), Hint: "--no-clobber refuses to overwrite it"}
	}
	regular := p.old == nil || p.old.Mode().IsRegular()
	p.viaPart = regular && !o.Append && !inPlace
	if p.viaPart {
		return p, p.checkPart()
	}
	return p, nil
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

// Open makes the destination ready for its first byte. Opening a FIFO waits for its reader:
// meanwhile runs until that is over. An error of the open is a *exit.Failure, one of
// meanwhile or of ctx is returned as it is.
func (p *Plan) Open(ctx context.Context, meanwhile Meanwhile) (*Output, error) {
	switch {
	case p.name.Path == "":
		e, err := p.name.inherit()
		return p.output(e, "", err)
	case p.viaPart:
		return p.openPart()
	}
	flags := p.access()
	if p.old == nil || p.old.Mode().IsRegular() {
		flags |= unix.O_CREAT
	}
	if p.options.Append {
		flags |= unix.O_APPEND
	}
	if p.options.NoClobber {
		flags |= unix.O_EXCL
	}
	fd, err := openWaiting(ctx, p.name.Path, flags, meanwhile)
	if err != nil {
		return p.output(nil, "", err)
	}
	e, err := transfer.Own(fd)
	return p.output(e, "", err)
}

// ReadBack has a regular file opened for reading as well. It is called before Open.
func (p *Plan) ReadBack() { p.reads = true }

func (p *Plan) access() int {
	if p.reads && (p.old == nil || p.old.Mode().IsRegular()) {
		return unix.O_RDWR
	}
	return unix.O_WRONLY
}

func (p *Plan) output(e *transfer.Endpoint, part string, err error) (*Output, error) {
	switch {
	case err == nil:
		return &Output{End: e, plan: p, part: part, called: p.partName()}, nil
	case ofTransfer(err):
		return nil, err
	}
	return nil, p.name.problem(err)
}

// RefuseSources refuses a DST that is one of the sources, before it is truncated.
func (p *Plan) RefuseSources(sources []Name) error {
	if p.old == nil || !p.old.Mode().IsRegular() {
		return nil
	}
	for _, src := range sources {
		path := src.Path
		if path == "" {
			path = fmt.Sprintf("/dev/fd/%d", src.FD)
		}
		// A source that does not exist is reported when its turn comes.
		if fi, err := os.Stat(path); err == nil && os.SameFile(fi, p.old) {
			return fmt.Errorf("%s: input file is output file", src)
		}
	}
	return nil
}

// KeepsOld tells whether an end without a byte must not replace what DST holds: it
// was a port probe, or a sender that failed before its first byte.
func (p *Plan) KeepsOld() bool {
	fi, err := os.Lstat(p.real) // now: hours may have passed since the plan was made
	return p.viaPart && err == nil && fi.Mode().IsRegular() && fi.Size() > 0
}

// An Output is a DST that is being written. Commit ends it well; after a failure, its own
// too, Abandon ends it.
type Output struct {
	End  *transfer.Endpoint
	plan *Plan
	part string // path of the .part, if it is written by way of one

	called string   // the .part in the user's words
	locked int      // descriptor that holds the .part's lock until after the rename; 0: none
	notes  []string // what could not be had and was done without
}

// Name is what DST is called: where names are counted, the number that it has in the end.
func (o *Output) Name() Name { return o.plan.name }

// Notes returns what the file system refused and was done without, for -v, and forgets it.
func (o *Output) Notes() []string {
	n := o.notes
	o.notes = nil
	return n
}

func (o *Output) note(format string, args ...any) {
	o.notes = append(o.notes, fmt.Sprintf(format, args...))
}

// Truncate empties a file that is written in place. One that is empty is left alone: after
// a truncation to nothing ext4 has close(2) wait until all that came after it is on its way
// to the disk (auto_da_alloc in ext4(5); 0.8 s for 2 GiB).
func (o *Output) Truncate() error {
	if o.plan.name.Path == "" || o.plan.options.Append || o.End.FileSize() == 0 {
		return nil
	}
	if err := unix.Ftruncate(o.End.FD(), 0); err != nil {
		return o.plan.name.problem(err)
	}
	return nil
}

// Commit makes what was written last: on the disk if that was asked for, under its name,
// closed. The error of a late write (NFS, quota) comes with fsync or close.
func (o *Output) Commit() error {
	if o.part != "" {
		return o.rename()
	}
	err := o.sync()
	if err == nil && o.plan.name.Path == "" {
		err = Flush(o.plan.name.FD)
	}
	return errors.Join(err, o.End.Close())
}

// Flush asks an inherited regular file for what close(2) would tell, and leaves it open: a quota, NFS
// and FUSE tell a late error with each descriptor that is closed, so one more is made for that.
func Flush(fd int) error {
	if !isRegular(fd) {
		return nil
	}
	more, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil // too many open files: no more can be known
	}
	if err := unix.Close(more); err != nil && err != unix.EINTR {
		return os.NewSyscallError("close", err)
	}
	return nil
}

// Abandon closes after a failure. It returns what was kept and where, or "".
func (o *Output) Abandon() string {
	if o.part != "" {
		return o.leavePart()
	}
	o.End.Close() // the failure before it is reported
	return ""
}

func (o *Output) sync() error {
	if !o.plan.options.Sync {
		return nil
	}
	// Pipes, sockets and terminals have nothing to sync (fsync(2), EINVAL, EROFS).
	if err := again(func() error { return unix.Fsync(o.End.FD()) }); err != nil && err != unix.EINVAL && err != unix.EROFS {
		return os.NewSyscallError("fsync", err)
	}
	return nil
}
