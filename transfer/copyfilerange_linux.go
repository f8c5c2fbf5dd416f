package transfer

import (
	"golang.org/x/sys/unix"

	"github.com/zcp-go/zcp/transfer/internal/sock"
)

// copyFileRange copies up to n bytes between two files of one file system, both at
// their current offsets. Every error before the first byte is a refusal: EXDEV,
// EBADF (O_APPEND), EPERM (old containers), EIO (CIFS) have all been seen where read and write work.
func copyFileRange(dst, src int, n int64) (int64, error) {
	m, err := sock.RetryN(func() (int, error) { return unix.CopyFileRange(src, nil, dst, nil, int(min(n, maxCall)), 0) })
	return int64(m), err
}
