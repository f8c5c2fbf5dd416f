package transfer

import (
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/zcp-go/zcp/transfer/internal/sock"
)

// A watch tells whether a file was written to, by inotify(7). It sees write(2) and truncate(2) on this
// system, also where the times of the file are put back afterwards. It does not see a write through mmap(2),
// which moves mtime, nor one on another system that has the file system mounted.
type watch struct {
	fd int // descriptor plus 1; 0: there is no watch
}

// watchWrites begins to watch an open file. There is no watch where the kernel has no inotify or no /proc,
// where a limit is reached, or where others than this kernel may write.
func watchWrites(fd int) watch {
	if remote(fd) {
		return watch{}
	}
	in, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return watch{}
	}
	if _, err := unix.InotifyAddWatch(in, "/proc/self/fd/"+strconv.Itoa(fd), unix.IN_MODIFY); err != nil {
		unix.Close(in)
		return watch{}
	}
	return watch{in + 1}
}

// stop ends the watch. known tells whether there was one, written whether it saw a write.
func (w *watch) stop() (written, known bool) {
	if w.fd == 0 {
		return false, false
	}
	var event [unix.SizeofInotifyEvent]byte // a watch on a file has no name behind it
	n, err := sock.RetryN(func() (int, error) { return unix.Read(w.fd-1, event[:]) })
	unix.Close(w.fd - 1)
	w.fd = 0
	return n > 0, n > 0 || err == unix.EAGAIN
}

// remote tells whether fd lies on a file system that other systems may write to.
func remote(fd int) bool {
	switch fileSystem(fd) {
	case 0, unix.NFS_SUPER_MAGIC, unix.SMB_SUPER_MAGIC, unix.SMB2_SUPER_MAGIC, unix.CIFS_SUPER_MAGIC, unix.FUSE_SUPER_MAGIC,
		unix.V9FS_MAGIC, unix.CEPH_SUPER_MAGIC, unix.AFS_SUPER_MAGIC, unix.CODA_SUPER_MAGIC, unix.OCFS2_SUPER_MAGIC:
		return true
	}
	return false
}
