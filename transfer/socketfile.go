package transfer

import (
	"cmp"
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/zcp-go/zcp/transfer/internal/sock"
)

// ListenUnix is Listen on a path, whose socket file gets exactly this mode. It never has another that
// lets more in: bind(2) makes the file with the mode of the socket's own inode, less the umask.
func ListenUnix(ctx context.Context, path string, mode os.FileMode) (*Listener, error) {
	ln, err := listenUnix(ctx, path, mode)
	if err != nil {
		return nil, err
	}
	return &Listener{ln: ln, restore: func() {}}, nil
}

func listenUnix(ctx context.Context, path string, mode os.FileMode) (net.Listener, error) {
	ln, err := listen(ctx, "unix", path, func(_, _ string, rc syscall.RawConn) error {
		var err error
		cerr := rc.Control(func(fd uintptr) { err = unix.Fchmod(int(fd), uint32(mode.Perm())) })
		return cmp.Or(cerr, os.NewSyscallError("fchmod", err))
	})
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(path, mode.Perm()); err != nil {
		ln.Close()
		return nil, err
	}
	return ln, nil
}

// ownFile is a listener whose socket file is removed by device and inode: by the end its name
// may be a successor's.
type ownFile struct {
	*net.UnixListener
	path string
	file os.FileInfo
}

func ownFileOf(u *net.UnixListener, path string) *ownFile {
	u.SetUnlinkOnClose(false)
	own := &ownFile{UnixListener: u, path: path}
	own.file, _ = os.Lstat(path) // where it fails there is no file to remove
	return own
}

// Close stops listening and removes the socket file where it is still the one that was made.
func (l *ownFile) Close() error {
	err := l.UnixListener.Close()
	if err == nil && sock.IsFile(l.path, l.file) {
		_ = os.Remove(l.path) // refused where it is gone already
	}
	return err
}

// staleLimit is how long to wait for another process that looks at the same folder's socket files.
const staleLimit = 2 * time.Second

// replaceStale listens in place of a listener that died and left its socket file, or returns inUse. Of
// several that try, one looks, removes and listens at a time: the folder is locked (flock(2)). Without that
// the second would remove the socket file that the first has just made.
func replaceStale(path string, inUse error, listen func() (net.Listener, error)) (net.Listener, error) {
	unlock, err := lockFolder(filepath.Dir(path))
	if err != nil {
		return nil, inUse
	}
	defer unlock()
	if !removeStale(path) {
		return nil, inUse
	}
	return listen()
}

// lockFolder locks a folder against other processes that do. A folder that cannot be read, and a file
// system without locks, is not locked.
func lockFolder(dir string) (unlock func(), err error) {
	fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return func() {}, nil
	}
	until := time.Now().Add(staleLimit)
	for {
		err = sock.Retry(func() error { return unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB) })
		if err != unix.EWOULDBLOCK || time.Now().After(until) {
			break
		}
		time.Sleep(5 * time.Millisecond) // a blocking flock could not be bounded
	}
	if err == unix.EWOULDBLOCK {
		unix.Close(fd)
		return nil, err
	}
	return func() { unix.Close(fd) }, nil
}

// removeStale removes the socket file of a listener that died, and tells whether it did.
// It asks with a datagram socket: a live stream listener refuses that (EPROTOTYPE) and is not
// disturbed, while a stream would be taken for the one connection that it waits for.
func removeStale(path string) bool {
	fi, err := os.Lstat(path)
	if err != nil || fi.Mode().Type() != os.ModeSocket {
		return false
	}
	c, err := net.DialTimeout("unixgram", path, time.Second)
	if err == nil {
		c.Close()
		return false
	}
	return errors.Is(err, unix.ECONNREFUSED) && os.Remove(path) == nil
}
