package transfer

import (
	"golang.org/x/sys/unix"

	"github.com/zcp-go/zcp/transfer/internal/sock"
)

// sendfile moves up to n bytes of a file, from its current offset on, to a socket.
// The kernel marks all but the last bytes of n as having more behind them, so n
// must not exceed what is left of the file or the end of it is held back (go.dev/issue/41513).
func sendfile(dst, src int, n int64) (int64, error) {
	m, err := sock.RetryN(func() (int, error) { return unix.Sendfile(dst, src, nil, int(min(n, maxCall))) })
	return int64(m), err
}
