package transfer

import "golang.org/x/sys/unix"

// sendfile moves up to n bytes of a file, from its current offset on, to a socket.
// The kernel marks all but the last bytes of n as having more behind them, so n
// must not exceed what is left of the file or the end of it is held back (go.dev/issue/41513).
func sendfile(dst, src int, n int64) (int64, error) {
	for {
		m, err := unix.Sendfile(dst, src, nil, int(min(n, maxCall)))
		if err != unix.EINTR {
			return int64(m), err
		}
	}
}
