//go:build !linux

package sock

import (
	"time"

	"golang.org/x/sys/unix"
)

// NewPipe opens a pipe that does not block and closes on exec.
func NewPipe(p *[2]int) error {
	if err := unix.Pipe(p[:]); err != nil {
		return err
	}
	for _, fd := range p {
		unix.CloseOnExec(fd)
		if err := unix.SetNonblock(fd, true); err != nil {
			return err
		}
	}
	return nil
}

// PollFor is poll(2), to the millisecond; below 0 it waits for as long as it takes.
func PollFor(fds []unix.PollFd, d time.Duration) (int, error) {
	if d < 0 {
		return unix.Poll(fds, -1)
	}
	return unix.Poll(fds, int((d+time.Millisecond-1)/time.Millisecond))
}

// A Silence cannot tell a dead peer on this system.
type Silence struct{}

// Gone is never true.
func (Silence) Gone(int, time.Time) bool { return false }

// Unacked is not known on this system.
func Unacked(int) (int64, error) { return 0, nil }

// GetLinger is not asked on this system.
func GetLinger(int) (unix.Linger, error) { return unix.Linger{}, nil }

// Disconnect leaves the connection to its other holders.
func Disconnect(int) {}

// SetKeepAlive has the kernel ask a silent peer whether it lives.
func SetKeepAlive(fd int) { _ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1) }

// BindNoPort has no meaning on this system.
func BindNoPort(int) {}

// EphemeralMin returns the lowest port that the kernel gives to sockets that connect.
func EphemeralMin() uint16 { return 1024 }

// Park does not know how to wait without a thread on this system.
func Park([]unix.PollFd, time.Duration) error { return unix.ENOSYS }

// DropIncoming has no meaning on this system.
func DropIncoming(int, bool) {}
