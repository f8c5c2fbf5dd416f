//go:build !linux

package transfer

import (
	"time"

	"golang.org/x/sys/unix"
)

func newPipe(p *[2]int) error {
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

func pollFor(fds []unix.PollFd, d time.Duration) (int, error) {
	return unix.Poll(fds, int((d+time.Millisecond-1)/time.Millisecond))
}

func growPipe(int, int) int { return 0 }
func pipeCapacity(int) int  { return 0 }

// Unacked is not known on this system.
func (e *Endpoint) Unacked() (int64, error) { return 0, nil }

type silence struct{}

func (silence) gone(int, time.Time) bool { return false }

type lowWater struct{}

const lowWaterPatience = time.Duration(0)

func newLowWater(dst, src *Endpoint) lowWater { return lowWater{} }
func (lowWater) wait(want) bool               { return false }
func (lowWater) waited(bool)                  {}
func (lowWater) restore()                     {}

func getLinger(int) (unix.Linger, error)      { return unix.Linger{}, nil }
func setUserTimeout(int, time.Duration) error { return nil }

func dissolve(int) {}

func keepAliveFD(fd int) error { return unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1) }

func bindNoPort(int) {}

func lowestGivenOut() uint16 { return 1024 }

func allocatesDelayed(int) bool        { return false }
func allocate(int, int64, int64) error { return unix.ENOTSUP }
func writeOut(int)                     {}
