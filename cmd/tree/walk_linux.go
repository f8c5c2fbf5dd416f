package tree

import (
	"archive/tar"
	"context"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/zcp-go/zcp/cmd/text"
)

const (
	// smallBody is the largest body, in bytes, that is read ahead and gathered with headers. The
	// guard, the lease and the plan of a body by reference are a dozen system calls.
	smallBody = 64 << 10
	// ahead is how many batches wait for their turn: with the two at hand, 2 MiB.
	ahead = 4
	// entries is how many bytes of a large directory are in memory.
	entries = 8 << 10
	// linkBudget bounds the table of hard links, in bytes, names included.
	linkBudget = 64 << 20
	linkCost   = 96 // bytes of an entry without its name
)

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
	out    chan<- *batch
	spare  chan *batch
	b      *batch // what is being filled
	skip   inode  // the destination
	links  map[inode]link
	cost   int // of links, in bytes
	capped bool
	owners owners
}

// walk sends every member to out and closes it.
func (w *walker) walk(ctx context.Context) {
	defer close(w.out)
	w.links = map[inode]link{}
	w.b = newBatch()
	for _, r := range w.Roots {
		fd, err := w.openRoot(r)
		if err != nil {
			w.Report(problem(r.Text, err))
			continue
		}
		if w.visit(ctx, unix.AT_FDCWD, fd, entry{base: r.Path}, r.Name, "", 0) != nil {
			return
		}
	}
	if !w.b.empty() {
		_ = w.emit(ctx) // its error is that of ctx, which the sender looks at
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

// visit adds what e names in the directory dir, or what is open as fd. name is what it is called in the
// stream, rel the same below its root. The error is only that of ctx.
func (w *walker) visit(ctx context.Context, dir, fd int, e entry, name, rel string, dev uint64) error {
	var st unix.Stat_t
	fd, err := w.look(dir, fd, e, &st)
	if err != nil {
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
	added, link := w.leaf(dir, fd, e.base, name, &st)
	if !added {
		return nil
	}
	return w.added(ctx, name, &st, link)
}

// look asks fstat(2) for a member, and opens it where the sender needs that. What the directory calls a
// file or a directory is opened at once; what it has become meanwhile is found out behind it.
func (w *walker) look(dir, fd int, e entry, st *unix.Stat_t) (_ int, err error) {
	if fd < 0 && e.opens {
		if fd, err = openat(dir, e.base, unix.O_NOFOLLOW); err == unix.ELOOP || err == unix.ENXIO || err == unix.ENODEV {
			fd = -1 // another kind by now
		} else if err != nil {
			return -1, err
		}
	}
	if fd < 0 {
		if err = unix.Fstatat(dir, e.base, st, unix.AT_SYMLINK_NOFOLLOW); err != nil || !opens(st.Mode) {
			return -1, err
		}
		if fd, err = openat(dir, e.base, unix.O_NOFOLLOW); err != nil {
			return -1, err
		}
	}
	if err = unix.Fstat(fd, st); err != nil || !opens(st.Mode) {
		unix.Close(fd)
		fd = -1
	}
	return fd, err
}

// opens tells whether the sender needs a descriptor.
func opens(mode uint32) bool {
	t := mode & unix.S_IFMT
	return t == unix.S_IFREG || t == unix.S_IFDIR
}

// added counts a member, and sends the batch where it is full or ends with a large body.
func (w *walker) added(ctx context.Context, name string, st *unix.Stat_t, link bool) error {
	w.b.estimate += estimate(name, st, link)
	if st.Mode&unix.S_IFMT != unix.S_IFDIR {
		w.b.files++
	}
	if len(w.b.buf) < gathered && w.b.large.fd < 0 {
		return nil
	}
	return w.emit(ctx)
}

// emit sends the batch and begins another one.
func (w *walker) emit(ctx context.Context) error {
	select {
	case w.out <- w.b:
	case <-ctx.Done():
		closeFD(w.b.large.fd)
		return ctx.Err()
	}
	select {
	case w.b = <-w.spare:
		w.b.reset()
	default:
		w.b = newBatch()
	}
	return nil
}

// directory adds a directory and all that is in it, and closes it.
func (w *walker) directory(ctx context.Context, fd int, name, rel string, dev uint64, st *unix.Stat_t) error {
	defer unix.Close(fd) // it was only read from
	if w.OneFileSystem && rel != "" && dev != 0 && uint64(st.Dev) != dev {
		w.Note(fmt.Sprintf("%s: another file system, left out", text.Quote(name)))
		return nil
	}
	if err := w.add(fd, name+"/", st, tar.TypeDir, "", 0); err != nil {
		w.Report(problem(name, err))
		return nil
	}
	if err := w.added(ctx, name+"/", st, false); err != nil {
		return err
	}
	list := newListing(fd)
	defer list.close()
	for {
		e, err := list.next()
		switch {
		case err == unix.ENOENT:
			w.Report(changed(name, "vanished while it was being sent"))
		case err != nil:
			w.Report(problem(name, err))
		}
		if err != nil || e.base == "" {
			return nil
		}
		below := e.base
		if rel != "" {
			below = rel + "/" + e.base
		}
		if w.excluded(below) {
			continue
		}
		if err := w.visit(ctx, fd, -1, e, name+"/"+e.base, below, uint64(st.Dev)); err != nil {
			return err
		}
	}
}

// A batch is what the walker hands to the sender: headers and small bodies as they go, and at most one
// large body behind them. One write of a batch takes the place of one for each member, and what the two
// of them cost each other is paid once in some 256 KiB.
type batch struct {
	buf      []byte // from blockSize on; before it is room for the padding of the large body before
	large    large
	files    int64
	estimate int64 // what measure takes the members for, in bytes
}

// A large is a body that goes from its file to the peer.
type large struct {
	name string // for messages
	fd   int    // -1: there is none
	data []span // what is sent
	size int64  // of all the spans
}

// newBatch makes room for what is gathered, and for the last small body.
func newBatch() *batch {
	b := &batch{buf: make([]byte, 0, gathered+smallBody+4*blockSize)}
	b.reset()
	return b
}

func (b *batch) reset() {
	*b = batch{buf: b.buf[:blockSize], large: large{fd: -1}}
}

// empty tells whether nothing was added.
func (b *batch) empty() bool { return len(b.buf) == blockSize && b.large.fd < 0 }
