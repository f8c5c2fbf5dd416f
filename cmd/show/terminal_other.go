//go:build !linux

package show

import (
	"os"

	"golang.org/x/sys/unix"
)

// withoutStop runs write. Elsewhere than on Linux a job that is put into the
// background at the very moment it draws may be stopped by `stty tostop`.
func withoutStop(write func()) { write() }

// suspend stops the process. SIGSTOP, because package signal cannot give SIGTSTP its
// default action back.
func suspend() {
	_ = unix.Kill(os.Getpid(), unix.SIGSTOP) // signalling oneself is always allowed
}
