package cmd

import (
	"os"
	"runtime"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// setDefault gives a signal back its default action. The runtime keeps a handler for
// SIGPIPE that ignores it for everything but a write by package os.
func setDefault(s syscall.Signal) {
	var act [32]byte // struct sigaction of the kernel: SIG_DFL, no flags, no restorer, an empty mask
	unix.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(s), uintptr(unsafe.Pointer(&act)), 0, 8, 0, 0)
}

// killSelf sends this thread a signal and lets it through.
func killSelf(s syscall.Signal) {
	runtime.LockOSThread() // and never unlocked: the process ends
	var set unix.Sigset_t
	const bits = 8 * int(unsafe.Sizeof(set.Val[0]))
	set.Val[(int(s)-1)/bits] |= 1 << ((int(s) - 1) % bits)
	_ = unix.PthreadSigmask(unix.SIG_UNBLOCK, &set, nil) // fails only for a command that does not exist
	_ = unix.Tgkill(os.Getpid(), unix.Gettid(), s)       // signalling oneself is always allowed
}
