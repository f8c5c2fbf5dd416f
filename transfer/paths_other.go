//go:build !linux

package transfer

import "golang.org/x/sys/unix"

// Other systems have one path, read and write.
const kernelPaths = false

func splice(int, int, int64) (int64, error)        { return 0, unix.ENOSYS }
func sendfile(int, int, int64) (int64, error)      { return 0, unix.ENOSYS }
func copyFileRange(int, int, int64) (int64, error) { return 0, unix.ENOSYS }
