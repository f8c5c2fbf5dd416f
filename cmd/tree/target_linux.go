package tree

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/zcp-go/zcp/cmd/exit"
	"github.com/zcp-go/zcp/cmd/text"
)

// A Target is a DST that is a directory. One that is new is written as DST.part beside it, and
// renamed when it is complete.
type Target struct {
	text   string
	path   string
	fresh  bool
	parent *os.Root
	root   *os.Root
	lock   *os.File
}

// Look looks at DST and refuses what cannot work, before a connection is made.
func Look(path, word string, noClobber bool) (*Target, error) {
	t := &Target{text: text.Quote(word), path: filepath.Clean(path)}
	fi, err := os.Stat(t.path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		t.fresh = true
		if _, err := os.Lstat(t.path); err == nil {
			return nil, t.problem(errors.New("a symbolic link to nothing"))
		}
		if err = unix.Faccessat(unix.AT_FDCWD, filepath.Dir(t.path), unix.W_OK|unix.X_OK, unix.AT_EACCESS); err == nil {
			err = t.checkPart(os.Lstat(filepath.Join(filepath.Dir(t.path), t.part())))
		}
	case err == nil && !fi.IsDir():
		err = unix.ENOTDIR
	case err == nil && noClobber:
		err = unix.EEXIST
	}
	if err != nil && !(t.fresh && errors.Is(err, fs.ErrNotExist) && t.parentExists()) {
		return nil, t.problem(err)
	}
	return t, nil
}

func (t *Target) parentExists() bool {
	fi, err := os.Stat(filepath.Dir(t.path))
	return err == nil && fi.IsDir()
}

func (t *Target) problem(err error) error {
	return exit.Classify(err, exit.Where{Subject: t.text})
}

// Fresh tells whether DST did not exist.
func (t *Target) Fresh() bool { return t.fresh }

// Open returns the directory to unpack into, made and locked where it is new.
func (t *Target) Open() (*os.Root, error) {
	var err error
	if !t.fresh {
		t.root, err = os.OpenRoot(t.path)
	} else if t.parent, err = os.OpenRoot(filepath.Dir(t.path)); err == nil {
		err = t.openPart()
	}
	if err != nil {
		t.close()
		return nil, t.problem(err)
	}
	return t.root, nil
}

func (t *Target) part() string { return filepath.Base(t.path) + ".part" }

// checkPart refuses what is in the way of DST.part and is not what an earlier transfer left.
func (t *Target) checkPart(fi fs.FileInfo, err error) error {
	if err != nil || fi.IsDir() || fi.Mode().Type() == fs.ModeSymlink {
		return nil
	}
	return fmt.Errorf("%s exists and is not a directory", text.Quote(t.part()))
}

// openPart replaces what an earlier transfer left, unless another process is writing it. A link
// of that name is removed, never followed.
func (t *Target) openPart() error {
	fi, err := t.parent.Lstat(t.part())
	switch {
	case err == nil && fi.IsDir():
		old, err := t.parent.OpenFile(t.part(), os.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
		if err != nil {
			return err
		}
		defer old.Close()
		if unix.Flock(int(old.Fd()), unix.LOCK_EX|unix.LOCK_NB) != nil {
			return errors.New("another zcp is receiving into it")
		}
	default:
		if err := t.checkPart(fi, err); err != nil {
			return err
		}
	}
	if err := t.parent.RemoveAll(t.part()); err != nil {
		return err
	}
	if err := t.parent.Mkdir(t.part(), 0o777); err != nil {
		return err
	}
	if t.root, err = t.parent.OpenRoot(t.part()); err != nil {
		return err
	}
	if t.lock, err = t.root.Open("."); err != nil {
		return err
	}
	return os.NewSyscallError("flock", unix.Flock(int(t.lock.Fd()), unix.LOCK_EX|unix.LOCK_NB))
}

// Commit makes the tree last: on the disk if that was asked for, and under its name.
func (t *Target) Commit(sync bool) error {
	defer t.close()
	if sync {
		f, err := t.root.Open(".")
		if err != nil {
			return t.problem(err)
		}
		err = unix.Syncfs(int(f.Fd()))
		f.Close() // it was not written to
		if err != nil {
			return t.problem(err)
		}
	}
	if !t.fresh {
		return nil
	}
	here, err := t.root.Stat(".")
	if err == nil {
		var there fs.FileInfo
		if there, err = t.parent.Lstat(t.part()); err == nil && !os.SameFile(here, there) {
			err = errors.New("it was replaced by another process")
		}
	}
	if err == nil {
		err = t.rename()
	}
	if err != nil {
		return t.problem(fmt.Errorf("cannot rename %s: %w", text.Quote(t.part()), exit.Cause(err)))
	}
	return nil
}

// rename gives the tree its name, unless something has that name by now: rename(2) replaces an empty directory.
func (t *Target) rename() error {
	dir, err := t.parent.Open(".")
	if err != nil {
		return err
	}
	defer dir.Close()
	err = unix.Renameat2(int(dir.Fd()), t.part(), int(dir.Fd()), filepath.Base(t.path), unix.RENAME_NOREPLACE)
	if err != unix.EINVAL && err != unix.ENOSYS { // the file system does not know the flag
		return err
	}
	return unix.Renameat(int(dir.Fd()), t.part(), int(dir.Fd()), filepath.Base(t.path))
}

// Abandon closes after a failure, and returns what is kept and where.
func (t *Target) Abandon() string {
	if t.root == nil {
		return ""
	}
	defer t.close()
	if !t.fresh {
		return t.text + " holds what was complete"
	}
	return text.Quote(t.path+".part") + " holds what was complete"
}

func (t *Target) close() {
	for _, r := range []*os.Root{t.root, t.parent} {
		if r != nil {
			r.Close() // a directory: nothing is written by closing it
		}
	}
	if t.lock != nil {
		t.lock.Close()
	}
	t.root, t.parent, t.lock = nil, nil, nil
}
