package cmd

import (
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
