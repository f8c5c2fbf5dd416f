//go:build !linux

package transfer

import "golang.org/x/sys/unix"

func tee(int, int, int64) (int64, error) { return 0, unix.ENOSYS }
