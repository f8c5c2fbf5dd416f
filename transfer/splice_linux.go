package transfer

import (
	"golang.org/x/sys/unix"

	"github.com/zcp-go/zcp/transfer/internal/sock"
)

const kernelPaths = true

// splice moves up to n bytes between two descriptors, one of them a pipe. EAGAIN
// means that a pipe or a non-blocking end cannot go on now; 0 means nothing until a
// read agrees that it is the end (a TCP urgent mark and FUSE give 0 as well).
//
// SPLICE_F_NONBLOCK concerns pipes only (splice(2)). SPLICE_F_MORE is not used: only
// the last splice knows that it was the last, and a wrong guess costs the peer 200 ms.
func splice(dst, src int, n int64) (int64, error) {
	m, err := sock.RetryN(func() (int, error) {
		m, err := unix.Splice(src, nil, dst, nil, int(min(n, maxCall)), unix.SPLICE_F_NONBLOCK)
		return int(m), err // an int on 32-bit systems, an int64 elsewhere
	})
	return int64(m), err
}
