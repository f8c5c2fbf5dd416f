package transfer

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/zcp-go/zcp/transfer/internal/sock"
)

// Raw system calls do not tell the Go scheduler that they may wait. They cost less, and
// the runtime's monitor does not take the processor away in the middle of them; but the
// garbage collector waits for their end. So they are for descriptors of our own that
// do not block, and the longest of them is a splice of one pipe's worth.

// rawSplice is splice on such descriptors.
func rawSplice(dst, src int, n int64) (int64, error) {
	m, err := sock.RetryN(func() (int, error) {
		m, _, e := unix.RawSyscall6(unix.SYS_SPLICE, uintptr(src), 0, uintptr(dst), 0, uintptr(min(n, maxCall)), unix.SPLICE_F_NONBLOCK)
		return result(m, e)
	})
	return int64(m), err
}

// rawRead is read(2) on such descriptors.
func rawRead(fd int, b []byte) (int, error) {
	return sock.RetryN(func() (int, error) {
		n, _, e := unix.RawSyscall(unix.SYS_READ, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)))
		return result(n, e)
	})
}

// rawWrite is write(2) on such descriptors. The runtime ignores the SIGPIPE of a socket.
func rawWrite(fd int, b []byte) (int, error) {
	return sock.RetryN(func() (int, error) {
		n, _, e := unix.RawSyscall(unix.SYS_WRITE, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)))
		return result(n, e)
	})
}

// result is what a raw call has returned, as the calls of package unix give it.
func result(n uintptr, e syscall.Errno) (int, error) {
	if e != 0 {
		return 0, e
	}
	return int(n), nil
}
