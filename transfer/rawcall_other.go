//go:build !linux

package transfer

import (
	"golang.org/x/sys/unix"

	"github.com/zcp-go/zcp/transfer/internal/sock"
)

func rawSplice(int, int, int64) (int64, error) { return 0, unix.ENOSYS }

func rawRead(fd int, b []byte) (int, error) {
	return sock.RetryN(func() (int, error) { return unix.Read(fd, b) })
}

func rawWrite(fd int, b []byte) (int, error) {
	return sock.RetryN(func() (int, error) { return unix.Write(fd, b) })
}
