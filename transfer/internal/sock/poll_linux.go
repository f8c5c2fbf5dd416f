package sock

import (
	"time"

	"golang.org/x/sys/unix"
)

// NewPipe opens a pipe that does not block and closes on exec.
func NewPipe(p *[2]int) error { return unix.Pipe2(p[:], unix.O_CLOEXEC|unix.O_NONBLOCK) }

// PollFor is poll(2) with a timeout finer than a millisecond; below 0 it waits for as long as it takes.
func PollFor(fds []unix.PollFd, d time.Duration) (int, error) {
	if d < 0 {
		return unix.Ppoll(fds, nil, nil)
	}
	ts := unix.NsecToTimespec(int64(d))
	return unix.Ppoll(fds, &ts, nil)
}
