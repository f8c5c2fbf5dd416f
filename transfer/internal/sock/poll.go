// Package sock holds the options of sockets and the questions to them: what both drivers,
// Transfer and the relay, need of a socket that does not move bytes. It knows neither of them.
package sock

import "golang.org/x/sys/unix"

// Retry repeats a call that a signal has interrupted.
func Retry(f func() error) error {
	for {
		if err := f(); err != unix.EINTR {
			return err
		}
	}
}

// RetryN is Retry for a call that returns a count.
func RetryN(f func() (int, error)) (int, error) {
	for {
		if n, err := f(); err != unix.EINTR {
			return n, err
		}
	}
}

// Recv is recv(2) that does not wait, with other flags, MSG_PEEK perhaps.
func Recv(fd int, b []byte, flags int) (int, error) {
	return RetryN(func() (int, error) {
		n, _, err := unix.Recvfrom(fd, b, flags|unix.MSG_DONTWAIT)
		return n, err
	})
}

// PollNow asks poll which of the events are true of fd now; POLLERR and POLLHUP are told unasked.
func PollNow(fd int, events uint32) uint32 {
	fds := []unix.PollFd{{Fd: int32(fd), Events: int16(events)}}
	n, err := RetryN(func() (int, error) { return unix.Poll(fds, 0) })
	if err != nil || n == 0 {
		return 0
	}
	return uint32(uint16(fds[0].Revents))
}
