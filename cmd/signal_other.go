//go:build !linux

package cmd

import (
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// setDefault lets the runtime raise SIGPIPE, which it does for a write to a broken
// standard output; the other signals have their default action after signal.Reset.
func setDefault(s syscall.Signal) {
	if s == syscall.SIGPIPE {
		_, _ = os.Stdout.Write([]byte{0})
	}
}

// killSelf sends this process a signal and gives it a second to arrive.
func killSelf(s syscall.Signal) {
	_ = unix.Kill(os.Getpid(), s) // signalling oneself is always allowed
	time.Sleep(time.Second)
}
