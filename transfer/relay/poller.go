package relay

import (
	"time"

	"golang.org/x/sys/unix"
)

// A poller reports which descriptors of an event loop are ready. It is level-triggered: what is
// asked for and true is reported by every wait, so a step may leave bytes behind. With asked
// == 0 a descriptor is parked: its death (pollErr, pollHup) is reported at least once when it
// happens, and not at every wait.
//
// Only the loop's own goroutine may call these, except wake.
type poller interface {
	add(fd int, asked uint32, t token) error
	addListener(fd int, t token) error // asks for pollIn; of several loops one is woken
	ask(fd int, asked uint32, t token) error
	remove(fd int) error                           // stop watching a descriptor that stays open
	closing(fd int)                                // stop watching one that is closed next
	wait(d, keep time.Duration) (n int, err error) // d < 0: for as long as it takes; keep: see Relay.keep
	event(i int) (reported uint32, t token)        // of the last wait
	wake()                                         // makes the wait of now, or the next one, return
	close()
}

// A token is what the loop knows a descriptor by. Slots are used again, so it also has
// the generation of the slot.
type token struct{ slot, generation int32 }

// What can be asked and reported. pollErr (an error is pending) and pollHup (both directions
// are shut) are reported without asking. epoll's bits are the same as poll's.
const (
	pollIn  uint32 = unix.POLLIN
	pollOut uint32 = unix.POLLOUT
	pollErr uint32 = unix.POLLERR
	pollHup uint32 = unix.POLLHUP
)

// wakeToken is the poller's own: there is nothing to do for it.
var wakeToken = token{slot: -1}

// pollTimeout returns milliseconds, rounded up so that a timer has passed when the wait ends.
func pollTimeout(d time.Duration) int {
	if d < 0 {
		return -1
	}
	return int(min((d+time.Millisecond-1)/time.Millisecond, 1<<30))
}
