package show

import (
	"os"
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

// suspend stops the process as SIGTSTP does by default (in an orphaned
// process group not at all), and returns when it is continued. Package signal cannot
// give a signal its default action back: the runtime keeps its handler. The signal
// goes to this thread, which takes it before tgkill returns; another thread might take
// it when the handler is there again.
func suspend() {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var byDefault, before [32]byte // struct sigaction of the kernel: SIG_DFL, no flags, an empty mask
	sigaction := func(act, old *[32]byte) {
		unix.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(unix.SIGTSTP), uintptr(unsafe.Pointer(act)), uintptr(unsafe.Pointer(old)), 8, 0, 0)
	}
	sigaction(&byDefault, &before)
	_ = unix.Tgkill(os.Getpid(), unix.Gettid(), unix.SIGTSTP) // signalling oneself is always allowed
	sigaction(&before, nil)
}
