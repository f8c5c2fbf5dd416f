package files

import (
	"errors"
	"path/filepath"

	"golang.org/x/sys/unix"
)

var (
	errMountPoint = errors.New("it is a mount point")
	errImmutable  = errors.New("it is immutable (chattr +i)")
	errAppendOnly = errors.New("it is append-only (chattr +a)")
	errFolder     = errors.New("its folder is immutable or append-only (chattr +i, +a)")
	errSticky     = errors.New("it is another user's, in a folder with the sticky bit")
)

// replaceable tells why path cannot be replaced by a rename, as far as can be known before:
// it is a mount point (a bind mount, as containers make of /etc/hosts: EBUSY in rename(2)), it
// or its folder has an attribute (EPERM), or the folder is sticky (EPERM). exists: path is there.
func replaceable(path string, exists bool) error {
	dir := filepath.Dir(path)
	if attributes(dir)&(unix.STATX_ATTR_IMMUTABLE|unix.STATX_ATTR_APPEND) != 0 {
		return errFolder
	}
	if !exists {
		return nil
	}
	switch a := attributes(path); {
	case mountPoint(path, dir):
		return errMountPoint
	case a&unix.STATX_ATTR_IMMUTABLE != 0:
		return errImmutable
	case a&unix.STATX_ATTR_APPEND != 0:
		return errAppendOnly
	case othersInSticky(path, dir):
		return errSticky
	}
	return nil
}

// attributes returns those of statx(2). Where it is refused, FS_IOC_GETFLAGS knows the two
// that count (ioctl_iflags(2)); 0 where neither does.
func attributes(path string) uint64 {
	var st unix.Statx_t
	if err := unix.Statx(unix.AT_FDCWD, path, unix.AT_SYMLINK_NOFOLLOW, 0, &st); err == nil {
		return st.Attributes & st.Attributes_mask
	}
	fd, err := open(path, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_NOFOLLOW, 0)
	if err != nil {
		return 0
	}
	defer unix.Close(fd)
	flags, err := unix.IoctlGetInt(fd, unix.FS_IOC_GETFLAGS)
	if err != nil {
		return 0
	}
	// FS_IMMUTABLE_FL and FS_APPEND_FL in linux/fs.h, which linux/stat.h gives the same bits.
	return uint64(flags) & (unix.STATX_ATTR_IMMUTABLE | unix.STATX_ATTR_APPEND)
}

// mountPoint tells whether a file is one. statx(2) knows since Linux 5.8; before that, or
// where it is refused, a mount of its own has another number than its folder's
// (name_to_handle_at(2)), and often another device.
func mountPoint(path, dir string) bool {
	var st unix.Statx_t
	if unix.Statx(unix.AT_FDCWD, path, unix.AT_SYMLINK_NOFOLLOW, 0, &st) == nil && st.Attributes_mask&unix.STATX_ATTR_MOUNT_ROOT != 0 {
		return st.Attributes&unix.STATX_ATTR_MOUNT_ROOT != 0
	}
	_, of, err := unix.NameToHandleAt(unix.AT_FDCWD, path, 0)
	_, at, errDir := unix.NameToHandleAt(unix.AT_FDCWD, dir, unix.AT_SYMLINK_FOLLOW)
	if err == nil && errDir == nil {
		return of != at
	}
	var f, d unix.Stat_t
	return unix.Lstat(path, &f) == nil && unix.Stat(dir, &d) == nil && f.Dev != d.Dev
}

// othersInSticky tells whether path lies in a sticky folder and neither is ours: only root (CAP_FOWNER)
// may replace it then (unlink(2), EPERM).
func othersInSticky(path, dir string) bool {
	var f, d unix.Stat_t
	if unix.Lstat(path, &f) != nil || unix.Stat(dir, &d) != nil || d.Mode&unix.S_ISVTX == 0 {
		return false
	}
	me := uint32(unix.Geteuid())
	return me != 0 && f.Uid != me && d.Uid != me
}
