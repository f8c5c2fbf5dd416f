package files

import "golang.org/x/sys/unix"

// writeThrough writes a range of a file to its device and waits for that (sync_file_range(2)). It
// is fsync in steps, so that there is something to tell meanwhile: 100 GiB of dirty pages take minutes.
// It has told an error that fsync does not tell again.
func writeThrough(fd int, at, n int64) error {
	err := again(func() error {
		return unix.SyncFileRange(fd, at, n, unix.SYNC_FILE_RANGE_WAIT_BEFORE|unix.SYNC_FILE_RANGE_WRITE|unix.SYNC_FILE_RANGE_WAIT_AFTER)
	})
	switch err {
	case unix.ENOSYS, unix.EINVAL, unix.EPERM, unix.EOPNOTSUPP: // fsync does it all
		return nil
	}
	return err
}

// dropPages drops a file from the page cache, but for what is dirty (posix_fadvise(2)).
func dropPages(fd int) error { return unix.Fadvise(fd, 0, 0, unix.FADV_DONTNEED) }
