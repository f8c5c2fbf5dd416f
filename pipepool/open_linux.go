package pipepool

import (
	"os"

	"golang.org/x/sys/unix"
)

// openEnds opens a pipe and asks for size bytes where the kernel's default differs. What is granted is what
// F_GETPIPE_SZ and F_SETPIPE_SZ say; a smaller pipe is no error.
func openEnds(size int) (ends, error) {
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC|unix.O_NONBLOCK); err != nil {
		return ends{}, os.NewSyscallError("pipe2", err)
	}
	e := ends{r: fds[0], w: fds[1]}
	got, err := unix.FcntlInt(uintptr(e.w), unix.F_GETPIPE_SZ, 0)
	if err != nil {
		e.close()
		return ends{}, os.NewSyscallError("fcntl F_GETPIPE_SZ", err)
	}
	for ask := size; ask > got; ask /= 2 {
		n, err := unix.FcntlInt(uintptr(e.w), unix.F_SETPIPE_SZ, ask)
		if err == nil {
			got = n
			break
		}
	}
	e.size = got
	return e, nil
}

func (e ends) close() {
	// Both ends are ours and empty of obligations: Linux frees the descriptor whatever close returns.
	_ = unix.Close(e.r)
	_ = unix.Close(e.w)
}
