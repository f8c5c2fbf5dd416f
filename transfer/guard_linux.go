package transfer

import (
	"hash/maphash"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/zcp-go/zcp/transfer/internal/sock"
)

// A stamp is what tells one state of a file from another without reading it.
type stamp struct {
	size         int64
	mtime, ctime unix.Timespec
}

// stamp asks fstat(2), which knows all of it: statx(2) is refused by old kernels (ENOSYS) and old
// sandboxes (EPERM).
func (e *Endpoint) stamp() (stamp, error) {
	var st unix.Stat_t
	err := sock.Retry(func() error { return unix.Fstat(e.fd, &st) })
	return stamp{st.Size, st.Mtim, st.Ctim}, err
}

// protect begins to watch a regular file, with a lease where one is asked for and
// granted: EAGAIN means that a process has it open for writing, EACCES that another user owns it.
func (e *Endpoint) protect(lease bool) {
	if e.kind != File || e.guard != nil && (e.guard.on || e.guard.settled) {
		return
	}
	g := &guard{fd: -1}
	e.guard = g
	g.fixed = cannotChange(e.fd)
	if lease && !g.fixed {
		g.err = e.takeLease()
		g.held = g.err == nil
		if !g.held && g.err != unix.EAGAIN { // as in byReference
			g.writes = watchWrites(e.fd)
		}
	}
	// After the lease, so that no writer fits between the two.
	before, err := e.stamp()
	if err != nil {
		return
	}
	g.before, g.on = before, true
	if g.start = e.offset(); g.start >= 0 && !g.held && !g.fixed {
		g.sum = new(maphash.Hash)
	}
}

// takeLease takes a read lease on the open file description, which must be open for
// reading only. An inherited description may outlive us, and the lease with it, so
// such a file is opened once more for the lease alone.
func (e *Endpoint) takeLease() error {
	if anonymousMemory(e.fd) {
		return unix.EAGAIN
	}
	fd := e.fd
	if !e.owned {
		var err error
		if fd, err = unix.Open("/proc/self/fd/"+strconv.Itoa(e.fd), unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0); err != nil {
			return err
		}
	}
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_SETLEASE, unix.F_RDLCK); err != nil {
		if fd != e.fd {
			unix.Close(fd)
		}
		return err
	}
	e.guard.fd = fd
	return nil
}

// anonymousMemory reports whether fd is a memfd or the like. A lease on one is granted although
// its maker can still write: the kernel counts as writers only descriptors that were opened
// by a file's name (measured: Linux 6.18 grants it on the writable descriptor itself).
func anonymousMemory(fd int) bool {
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_GET_SEALS, 0); err != nil {
		return false // not in memory; an unlinked file on a disk counts its writers
	}
	var st unix.Stat_t
	return sock.Retry(func() error { return unix.Fstat(fd, &st) }) != nil || st.Nlink == 0
}

// cannotChange tells whether fd is a memfd sealed against writing or lies on a read-only file system.
func cannotChange(fd int) bool {
	if seals, err := unix.FcntlInt(uintptr(fd), unix.F_GET_SEALS, 0); err == nil {
		return seals&unix.F_SEAL_WRITE != 0 && seals&unix.F_SEAL_SHRINK != 0
	}
	switch fileSystem(fd) { // a read-only mount of these has no writer anywhere; a remote or bind mount may have
	case unix.SQUASHFS_MAGIC, unix.EROFS_SUPER_MAGIC_V1, unix.ISOFS_SUPER_MAGIC, unix.CRAMFS_MAGIC:
		return true
	}
	return false
}

// byReference tells whether the kernel may move e's bytes without showing them to us.
// In a user's pipe the file's own pages lie until they are read, for hours perhaps, so only a
// file that cannot change goes there. Elsewhere they lie shortly: there the refusal
// for lack of ownership (EACCES) is made up for by comparing, but a file that a process has
// open for writing (EAGAIN) is copied, so that growth can be told from change.
func (e *Endpoint) byReference(dst Kind) bool {
	g := e.guard
	switch {
	case e.kind != File:
		return true
	case g == nil:
		return false
	case g.held || g.fixed:
		return true
	case dst == Pipe || g.lost:
		return false
	}
	return g.err != unix.EAGAIN
}

// leaseWanted tells whether a writer waits for our lease: F_GETLEASE returns the type the
// lease is to be lowered to (fcntl(2)). Asking is cheaper than SIGIO, and a library has no signals to spare.
func (e *Endpoint) leaseWanted() bool {
	if e.guard == nil || !e.guard.held {
		return false
	}
	typ, err := unix.FcntlInt(uintptr(e.guard.fd), unix.F_GETLEASE, 0)
	return err != nil || typ != unix.F_RDLCK
}

// giveUpLease lets a waiting writer go on.
func (e *Endpoint) giveUpLease() {
	e.guard.writes = watchWrites(e.fd)
	e.guard.lost = true
	e.guard.release(e.fd)
}

func (g *guard) release(fd int) {
	if !g.held {
		return
	}
	g.held = false
	// An error here leaves the lease to close(2), which ends it in any case.
	_, _ = unix.FcntlInt(uintptr(g.fd), unix.F_SETLEASE, unix.F_UNLCK)
	if g.fd != fd {
		unix.Close(g.fd)
	}
}

// Verify ends the watch over a source and says what became of it. It is called when
// the peer can no longer be reading the file's pages.
func (e *Endpoint) Verify() SourceState {
	g := e.guard
	if g == nil || !g.on {
		return NotWatched
	}
	g.on = false
	// A writer that waits for the lease is let in only after this look.
	held := g.held && !e.leaseWanted()
	after, err := e.stamp()
	g.release(e.fd)
	written, known := g.writes.stop()
	switch {
	case held || g.fixed:
		return Unchanged
	case err != nil || written && after.size <= g.before.size:
		return Changed
	case after == g.before:
		return Unchanged
	case after.size == g.before.size && after.mtime == g.before.mtime:
		// chmod, link and rename move ctime alone; so does a write whose mtime was put back (touch -r, cp -p).
		if known || g.taken == 0 && len(g.earlier) == 0 || e.allSameAsSent() {
			return MetadataChanged
		}
		return Changed
	case after.size > g.before.size && e.allSameAsSent():
		return Grew
	}
	return Changed
}

// allSameAsSent tells whether what was sent lay before the old end, and is still the same.
func (e *Endpoint) allSameAsSent() bool {
	g := e.guard
	for _, s := range append(g.earlier, g.now()) {
		if s.taken > g.before.size-s.start || s.taken > 0 && !e.sameAsSent(s) {
			return false
		}
	}
	return g.taken > 0 || len(g.earlier) > 0
}

// sameAsSent reads what was sent once more and tells whether it is the same. That can
// only be said of bytes that were all copied, in order, from the first one on.
func (e *Endpoint) sameAsSent(g stretch) bool {
	if g.sum == nil || g.summed == 0 || g.summed != g.taken {
		return false
	}
	var again maphash.Hash
	again.SetSeed(g.sum.Seed())
	b := buffers.Get().(*[]byte)
	defer buffers.Put(b)
	for left, at := g.summed, g.start; left > 0; {
		n, err := sock.RetryN(func() (int, error) { return unix.Pread(e.fd, (*b)[:min(left, copyBuffer)], at) })
		if err != nil || n == 0 {
			return false
		}
		again.Write((*b)[:n])
		left, at = left-int64(n), at+int64(n)
	}
	return again.Sum64() == g.sum.Sum64()
}
