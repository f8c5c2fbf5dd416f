package show

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// maxRows is how many lines one pipeline may draw.
const maxRows = 16

// claimRow finds the first row of a terminal that no other program of this pipeline has. A row is a name
// in the abstract namespace (unix(7)), which its holder's end gives back, however it ends. A pipeline is a
// process group. ok is false where none is to be had.
func claimRow(tty int) (row int, release func(), ok bool) {
	var st unix.Stat_t
	if unix.Fstat(tty, &st) != nil {
		return 0, nil, false
	}
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, nil, false
	}
	for row := range maxRows {
		name := fmt.Sprintf("@zcp-row-%x-%d-%d", st.Rdev, unix.Getpgrp(), row)
		switch err := unix.Bind(fd, &unix.SockaddrUnix{Name: name}); err {
		case nil:
			return row, func() { unix.Close(fd) }, true
		case unix.EADDRINUSE:
			continue
		}
		break
	}
	unix.Close(fd)
	return 0, nil, false
}
