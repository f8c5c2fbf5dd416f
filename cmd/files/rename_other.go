//go:build !linux

package files

import (
	"syscall"

	"golang.org/x/sys/unix"
)

type unixStat = syscall.Stat_t

func mountPoint(string) bool { return false }

// renameOver renames, and refuses to replace anything where keep is set.
func renameOver(from, to string, keep bool) error {
	if !keep {
		return unix.Rename(from, to)
	}
	if err := unix.Link(from, to); err != nil {
		return err
	}
	return unix.Unlink(from)
}
