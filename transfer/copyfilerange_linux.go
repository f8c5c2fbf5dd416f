package transfer

import "golang.org/x/sys/unix"

// copyFileRange copies up to n bytes between two files of one file system, both at
// their current offsets. Every error before the first byte is a refusal: EXDEV,
// EBADF (O_APPEND), EPERM (old containers), EIO (CIFS) have all been seen where read and write work.
func copyFileRange(dst, src int, n int64) (int64, error) {
	for {
		m, err := unix.CopyFileRange(src, nil, dst, nil, int(min(n, maxCall)), 0)
		if err != unix.EINTR {
			return int64(m), err
		}
	}
}
