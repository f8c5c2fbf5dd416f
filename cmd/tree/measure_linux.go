package tree

import (
	"context"
	"path"
	"time"

	"golang.org/x/sys/unix"
)

// measuredLinks bounds what the measuring walk knows of files with several names: beyond, each
// name counts as a file of its own.
const measuredLinks = 256 << 10

// A measurer adds up what a stream will hold, by names and fstatat(2) alone, beside the sender.
type measurer struct {
	*walker
	count *Count
	known map[inode]struct{}
}

// measure walks all roots. What cannot be read is left out: the sender names it.
func (m *measurer) measure(ctx context.Context) {
	m.known = map[inode]struct{}{}
	for _, r := range m.Roots {
		fd, err := m.openRoot(r)
		if err != nil {
			continue
		}
		if m.visit(ctx, unix.AT_FDCWD, fd, r.Path, r.Name, "", 0) != nil {
			return
		}
	}
	m.count.whole.Add(2 * blockSize) // the end mark
	m.count.walked.Store(true)
}

func (m *measurer) visit(ctx context.Context, dir, fd int, base, name, rel string, dev uint64) error {
	if ctx.Err() != nil {
		closeFD(fd)
		return ctx.Err()
	}
	var st unix.Stat_t
	var err error
	if fd < 0 {
		err = unix.Fstatat(dir, base, &st, unix.AT_SYMLINK_NOFOLLOW)
	} else {
		err = unix.Fstat(fd, &st)
	}
	id := inode{uint64(st.Dev), st.Ino}
	kind := st.Mode & unix.S_IFMT
	switch {
	case err != nil, id == m.skip, kind == unix.S_IFSOCK, !m.Special && kind != unix.S_IFREG && kind != unix.S_IFLNK && kind != unix.S_IFDIR:
		closeFD(fd)
		return nil
	case kind == unix.S_IFDIR:
		if fd < 0 {
			if fd, err = openat(dir, base, unix.O_NOFOLLOW|unix.O_DIRECTORY); err != nil {
				return nil
			}
		}
		return m.below(ctx, fd, name, rel, dev, &st)
	}
	_, link := m.known[id]
	if st.Nlink > 1 && len(m.known) < measuredLinks {
		m.known[id] = struct{}{}
	}
	m.count.whole.Add(estimate(name, &st, link))
	return nil
}

// below measures a directory and what is in it, and closes it.
func (m *measurer) below(ctx context.Context, fd int, name, rel string, dev uint64, st *unix.Stat_t) error {
	defer unix.Close(fd) // it was only read from
	if m.OneFileSystem && rel != "" && dev != 0 && uint64(st.Dev) != dev {
		return nil
	}
	m.count.whole.Add(estimate(name+"/", st, false))
	list := newListing(fd)
	defer list.close()
	for {
		e, err := list.next()
		if err != nil || e.base == "" {
			return nil
		}
		below := path.Join(rel, e.base)
		if m.excluded(below) {
			continue
		}
		if err := m.visit(ctx, fd, -1, e.base, name+"/"+e.base, below, uint64(st.Dev)); err != nil {
			return err
		}
	}
}

// estimate is how many bytes a member takes, without opening it: a header, an extended header
// where a time has a fraction or a name is long, and the body without holes.
func estimate(name string, st *unix.Stat_t, link bool) int64 {
	n := int64(blockSize)
	if st.Mtim.Nsec != 0 || len(name) > 100 || st.Size >= 8<<30 {
		records := int64(40)
		if len(name) > 100 {
			records += int64(len(name))
		}
		n += blockSize + records + padding(records)
	}
	if st.Mode&unix.S_IFMT == unix.S_IFREG && !link {
		size := min(st.Size, st.Blocks*512)
		n += size + padding(size)
	}
	return n
}

// serveAfter is how long a sender that waits for the walk leaves its peer alone, at least; at most
// twice as long.
const serveAfter = 50 * time.Millisecond
