package files

import (
	"syscall"

	"golang.org/x/sys/unix"
)

type unixStat = syscall.Stat_t

// renameOver renames, and refuses to replace anything (EEXIST) where keep is set.
func renameOver(from, to string, keep bool) error {
	if !keep {
		return unix.Rename(from, to)
	}
	err := unix.Renameat2(unix.AT_FDCWD, from, unix.AT_FDCWD, to, unix.RENAME_NOREPLACE)
	switch err {
	case unix.EINVAL, unix.ENOSYS, unix.EPERM, unix.EOPNOTSUPP, unix.ENOTTY: // NFS, CIFS, old ZFS, kernels before 3.15, profiles
		return renameByLink(from, to)
	}
	return err
}
