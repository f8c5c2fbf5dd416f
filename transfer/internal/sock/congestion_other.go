//go:build !linux

package sock

import "golang.org/x/sys/unix"

// Congestion is not known on this system.
func Congestion(int) (string, error) { return "", unix.ENOTSUP }

// SetCongestion is refused on this system.
func SetCongestion(int, string) error { return unix.ENOTSUP }

// Algorithms is not known on this system.
func Algorithms(bool) []string { return nil }
