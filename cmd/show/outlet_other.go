//go:build !linux

package show

import (
	"os"

	"golang.org/x/sys/unix"
)

// writeNow writes what f takes at once and returns how many bytes that were: elsewhere than on
// Linux a pipe cannot be asked.
func writeNow(f *os.File, w way, line string) int {
	fd, ok := descriptor(f)
	if !ok || w != socketWay {
		return 0
	}
	n, err := unix.SendmsgN(fd, []byte(line), nil, nil, unix.MSG_DONTWAIT)
	if err == unix.EPIPE || err == unix.ECONNRESET { // the reader is gone
		return len(line)
	}
	return max(n, 0)
}
