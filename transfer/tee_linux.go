package transfer

import "golang.org/x/sys/unix"

// tee has up to n bytes that are in one pipe be in another one, too (tee(2)): the pages are shared,
// not copied. It begins with the first byte of src each time, and stops where dst has no slot left.
func tee(dst, src int, n int64) (int64, error) {
	for {
		m, err := unix.Tee(src, dst, int(min(n, maxCall)), unix.SPLICE_F_NONBLOCK)
		if err != unix.EINTR {
			return int64(m), err
		}
	}
}
