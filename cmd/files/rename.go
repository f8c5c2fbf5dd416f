package files

import "golang.org/x/sys/unix"

// renameByLink renames without replacing anything, where the kernel cannot do both in one
// step: link(2) fails with EEXIST. A file system without links (vfat, EPERM in link(2)) gives
// the name to an empty file of ours first, by O_EXCL, and that is replaced.
func renameByLink(from, to string) error {
	err := unix.Link(from, to)
	switch err {
	case nil:
		return unix.Unlink(from)
	case unix.EPERM, unix.EOPNOTSUPP, unix.ENOSYS, unix.EMLINK, unix.EACCES, unix.EINVAL:
	default:
		return err
	}
	fd, err := open(to, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return err
	}
	unix.Close(fd) // nothing was written to it
	if err := unix.Rename(from, to); err != nil {
		_ = unix.Unlink(to) // ours, and empty; the error of the rename is the one to tell
		return err
	}
	return nil
}
