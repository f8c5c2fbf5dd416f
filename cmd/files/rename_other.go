//go:build !linux

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
	return renameByLink(from, to)
}
