//go:build !linux

package transfer

import "golang.org/x/sys/unix"

func pseudoFile(int) bool { return false }

func isTerminal(fd int) bool {
	_, err := unix.IoctlGetTermios(fd, unix.TIOCGETA)
	return err == nil
}

func deviceSize(int, int64) int64 { return -1 }
