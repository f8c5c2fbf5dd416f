package show

import (
	"os"

	"golang.org/x/sys/unix"
)

// writeNow writes what f takes at once and returns how many bytes that were. An error that is
// not about waiting leaves the line to a write that waits: it will meet the same.
func writeNow(f *os.File, w way, line string) (n int) {
	fd, ok := descriptor(f)
	if !ok {
		return 0
	}
	var err error
	switch w {
	case pipeWay:
		n, err = unix.Pwritev2(fd, [][]byte{[]byte(line)}, -1, unix.RWF_NOWAIT)
	case socketWay:
		n, err = unix.SendmsgN(fd, []byte(line), nil, nil, unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL)
	}
	if err == unix.EPIPE || err == unix.ECONNRESET { // the reader is gone
		return len(line)
	}
	return max(n, 0)
}
