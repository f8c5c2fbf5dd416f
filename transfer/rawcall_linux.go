package transfer

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// Raw system calls do not tell the Go scheduler that they may wait. They cost less, and
// the runtime's monitor does not take the processor away in the middle of them; but the
// garbage collector waits for their end. So they are for descriptors of our own that
// do not block, and the longest of them is a splice of one pipe's worth.

// rawSplice is splice on such descriptors.
func rawSplice(dst, src int, n int64) (int64, error) {
	for {
		m, _, e := unix.RawSyscall6(unix.SYS_SPLICE, uintptr(src), 0, uintptr(dst), 0, uintptr(min(n, maxCall)), unix.SPLICE_F_NONBLOCK)
		if e == 0 {
			return int64(m), nil
		}
		if e != unix.EINTR {
			return 0, e
		}
	}
}

// rawRead is read(2) on such descriptors.
func rawRead(fd int, b []byte) (int, error) {
	for {
		n, _, e := unix.RawSyscall(unix.SYS_READ, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)))
		if e == 0 {
			return int(n), nil
		}
		if e != unix.EINTR {
			return 0, e
		}
	}
}

// rawWrite is write(2) on such descriptors. The runtime ignores the SIGPIPE of a socket.
func rawWrite(fd int, b []byte) (int, error) {
	for {
		n, _, e := unix.RawSyscall(unix.SYS_WRITE, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)))
		if e == 0 {
			return int(n), nil
		}
		if e != unix.EINTR {
			return 0, e
		}
	}
}
