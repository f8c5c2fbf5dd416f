package tree

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"

	"golang.org/x/sys/unix"

	"github.com/zcp-go/zcp/cmd/text"
)

const (
	// smallBody is the largest body, in bytes, that is read ahead and gathered with headers. The
	// guard, the lease and the plan of a body by reference are a dozen system calls.
	smallBody = 64 << 10
	// ahead is how many members are opened before their turn: 4 MiB of small bodies at the most.
	ahead = 64
	// namesAtOnce bounds what of a large directory is in memory.
	namesAtOnce = 1024
	// linkBudget bounds the table of hard links, in bytes, names included.
	linkBudget = 64 << 20
	linkCost   = 96 // bytes of an entry without its name
)

// A member is one entry of the stream, ready to be sent.
type member struct {
	name   string // for messages
	header []byte
	body   []byte // in memory; fd is -1
	link   bool   // another name of a member that was sent
	dir    bool

	estimate int64  // what measure takes it for, in bytes
	fd       int    // of a larger body; -1: there is none
	data     []span // of fd: what is sent
	size     int64  // of all the spans
}

// A span is a range of a file that is not a hole.
type span struct{ off, n int64 }

type inode struct{ dev, ino uint64 }

type link struct {
	name string
	left uint64 // names that were not seen yet
}

// A walker goes through the tree, depth first and in the order of the directories.
type walker struct {
	*Source
	out    chan<- member
	skip   inode // the destination
	links  map[inode]link
	cost   int // of links, in bytes
	capped bool
	owners owners
}

// walk sends every member to out and closes it.
func (w *walker) walk(ctx context.Context) {
	defer close(w.out)
	w.links = map[inode]link{}
	for _, r := range w.Roots {
		fd, err := w.openRoot(r)
		if err != nil {
			w.Report(problem(r.Text, err))
			continue
		}
		if w.visit(ctx, unix.AT_FDCWD, fd, r.Path, r.Name, "", 0) != nil {
			return
		}
	}
}

// openRoot opens a directory whose contents are sent, and follows links to it. Other roots are
// opened by visit.
func (w *walker) openRoot(r Root) (fd int, err error) {
	if r.Name != "." {
		return -1, nil
	}
	return openat(unix.AT_FDCWD, r.Path, unix.O_DIRECTORY)
}

func openat(dir int, name string, flags int) (fd int, err error) {
	err = again(func() error {
		fd, err = unix.Openat(dir, name, flags|unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NOCTTY|unix.O_NONBLOCK, 0)
		return err
	})
	return fd, err
}

// again repeats a call that a signal has interrupted.
func again(call func() error) error {
	for {
		if err := call(); err != unix.EINTR {
			return err
		}
	}
}

// visit sends what is called base in the directory dir, or is open as fd. name is what it is called in the
// stream, rel the same below its root. The error is only that of ctx.
func (w *walker) visit(ctx context.Context, dir, fd int, base, name, rel string, dev uint64) error {
	var st unix.Stat_t
	var err error
	if fd < 0 {
		if err = unix.Fstatat(dir, base, &st, unix.AT_SYMLINK_NOFOLLOW); err == nil && opens(st.Mode) {
			fd, err = openat(dir, base, unix.O_NOFOLLOW)
		}
	}
	if err == nil && fd >= 0 {
		err = unix.Fstat(fd, &st)
	}
	if err != nil {
		if fd >= 0 {
			unix.Close(fd)
		}
		if err == unix.ENOENT && rel != "" {
			w.Report(changed(name, "vanished before it was sent"))
		} else {
			w.Report(problem(name, err))
		}
		return nil
	}
	if st.Mode&unix.S_IFMT == unix.S_IFDIR {
		return w.directory(ctx, fd, name, rel, dev, &st)
	}
	m, ok := w.leaf(dir, fd, base, name, &st)
	if !ok {
		return nil
	}
	m.estimate = estimate(name, &st, m.link)
	return w.emit(ctx, m)
}

// opens tells whether the sender needs a descriptor.
func opens(mode uint32) bool {
	t := mode & unix.S_IFMT
	return t == unix.S_IFREG || t == unix.S_IFDIR
}

func (w *walker) emit(ctx context.Context, m member) error {
	select {
	case w.out <- m:
		return nil
	case <-ctx.Done():
		if m.fd >= 0 {
			unix.Close(m.fd)
		}
		return ctx.Err()
	}
}

// directory sends a directory and all that is in it, and closes it.
func (w *walker) directory(ctx context.Context, fd int, name, rel string, dev uint64, st *unix.Stat_t) error {
	f := os.NewFile(uintptr(fd), name)
	// It was only read from.
	defer f.Close()
	if w.OneFileSystem && rel != "" && dev != 0 && uint64(st.Dev) != dev {
		w.Note(fmt.Sprintf("%s: another file system, left out", text.Quote(name)))
		return nil
	}
	m, err := w.member(fd, name+"/", st, tar.TypeDir, "", 0)
	if err != nil {
		w.Report(problem(name, err))
		return nil
	}
	m.dir, m.estimate = true, estimate(name+"/", st, false)
	if err := w.emit(ctx, m); err != nil {
		return err
	}
	for {
		names, err := f.Readdirnames(namesAtOnce)
		for _, base := range names {
			below := path.Join(rel, base)
			if w.excluded(below) {
				continue
			}
			if err := w.visit(ctx, fd, -1, base, name+"/"+base, below, uint64(st.Dev)); err != nil {
				return err
			}
		}
		if err != nil {
			if !errors.Is(err, io.EOF) {
				w.Report(problem(name, err))
			}
			return nil
		}
	}
}
