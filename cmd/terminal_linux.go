package cmd

import (
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// withoutStop runs write with SIGTTOU blocked on this thread. Under `stty
// tostop` a write from the background stops the whole process, unless the
// signal is blocked or ignored (termios(3)); and between asking who has the
// terminal and writing to it, it can be taken away.
func withoutStop(write func()) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var block, before unix.Sigset_t
	const bits = 8 * int(unsafe.Sizeof(block.Val[0]))
	block.Val[(int(unix.SIGTTOU)-1)/bits] |= 1 << ((int(unix.SIGTTOU) - 1) % bits)
	if unix.PthreadSigmask(unix.SIG_BLOCK, &block, &before) == nil {
		// it can only fail for a set or a command that does not exist
		defer func() { _ = unix.PthreadSigmask(unix.SIG_SETMASK, &before, nil) }()
	}
	write()
}
