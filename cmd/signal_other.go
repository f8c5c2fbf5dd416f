//go:build !linux

package cmd

import (
	"os"
	"syscall"
)

// setDefault lets the runtime raise SIGPIPE, which it does for a write to a broken
// standard output; the other signals have their default action after signal.Reset.
func setDefault(s syscall.Signal) {
	if s == syscall.SIGPIPE {
		_, _ = os.Stdout.Write([]byte{0})
	}
}
