//go:build !linux

package transfer

import (
	"time"

	"golang.org/x/sys/unix"

	"github.com/zcp-go/zcp/transfer/internal/sock"
)

// Other systems have one path, read and write.
const kernelPaths = false

func splice(int, int, int64) (int64, error)        { return 0, unix.ENOSYS }
func rawSplice(int, int, int64) (int64, error)     { return 0, unix.ENOSYS }
func sendfile(int, int, int64) (int64, error)      { return 0, unix.ENOSYS }
func copyFileRange(int, int, int64) (int64, error) { return 0, unix.ENOSYS }
func tee(int, int, int64) (int64, error)           { return 0, unix.ENOSYS }
func writeNow(int, []byte) (int, error)            { return 0, unix.EOPNOTSUPP }

func rawRead(fd int, b []byte) (int, error) {
	return sock.RetryN(func() (int, error) { return unix.Read(fd, b) })
}

func rawWrite(fd int, b []byte) (int, error) {
	return sock.RetryN(func() (int, error) { return unix.Write(fd, b) })
}

func growPipe(int, int) int { return 0 }
func pipeCapacity(int) int  { return 0 }
func pipeUnread(int) int64  { return 0 }

type lowWater struct{ fd int }

const lowWaterPatience = time.Duration(0)

func newLowWater(dst, src *Endpoint) lowWater { return lowWater{} }
func (lowWater) wait(Want) bool               { return false }
func (lowWater) waited(bool)                  {}
func (lowWater) restore()                     {}

func allocatesDelayed(int) bool        { return false }
func allocate(int, int64, int64) error { return unix.ENOTSUP }
func writeOut(int)                     {}

func pseudoFile(int) bool         { return false }
func deviceSize(int, int64) int64 { return -1 }

func isTerminal(fd int) bool {
	_, err := unix.IoctlGetTermios(fd, unix.TIOCGETA)
	return err == nil
}

// TCPInfo is not known on this system.
func (e *Endpoint) TCPInfo() (info TCPInfo, ok bool) { return info, false }
