//go:build unix

package show

import (
	"os"

	"golang.org/x/sys/unix"
	"golang.org/x/term"
)

// wayOf finds out what stderr is.
func wayOf(f *os.File) way {
	fd, ok := descriptor(f)
	var st unix.Stat_t
	if !ok || unix.Fstat(fd, &st) != nil {
		return slow
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		return direct
	case unix.S_IFIFO:
		return pipeWay
	case unix.S_IFSOCK:
		return socketWay
	case unix.S_IFCHR:
		if !term.IsTerminal(fd) {
			return direct
		}
	}
	return slow
}
