package transfer

import (
	"time"

	"golang.org/x/sys/unix"

	"github.com/zcp-go/zcp/transfer/internal/sock"
)

// Threads bounds how many threads of the system the transfers that share it block at once, in polls and in
// the calls that move bytes. A goroutine in a system call holds a thread, and the runtime dies where it gets
// no more of them (RLIMIT_NPROC, pids.max). nil means no bound: a transfer alone waits in a poll of its own, which costs the least.
type Threads struct{ free chan struct{} }

// NewThreads returns a bound of n threads.
func NewThreads(n int) *Threads { return &Threads{make(chan struct{}, n)} }

// briefPoll is how long a transfer that waits may hold a thread. Most waits of a transfer that moves bytes are
// shorter; a longer one goes on in the runtime's poller, which needs no thread for it.
const briefPoll = 5 * time.Millisecond

func (h *Threads) take() {
	if h != nil {
		h.free <- struct{}{}
	}
}

func (h *Threads) give() {
	if h != nil {
		<-h.free
	}
}

// Do runs f, which may block a thread, when one is free.
func (h *Threads) Do(f func() error) error {
	h.take()
	defer h.give()
	return f()
}

// poll is [sock.PollFor] within the bound.
func (h *Threads) poll(fds []unix.PollFd, d time.Duration) (int, error) {
	if h == nil {
		return sock.PollFor(fds, d)
	}
	n, err := sock.PollFor(fds, 0)
	if n != 0 || err != nil || d == 0 {
		return n, err
	}
	select {
	case h.free <- struct{}{}:
		brief := shorter(d, briefPoll)
		n, err = sock.PollFor(fds, brief)
		h.give()
		if n != 0 || err != nil || brief == d {
			return n, err
		}
		if d > 0 {
			d -= briefPoll
		}
	default: // none is free
	}
	switch err := sock.Park(fds, d); err {
	case nil:
		return sock.PollFor(fds, 0)
	case unix.ENOSYS: // not on this system
		return sock.PollFor(fds, d)
	default: // no descriptor for that: a thread has to do, and may be waited for
		h.take()
		defer h.give()
		return sock.PollFor(fds, shorter(d, briefPoll)) // its caller asks again
	}
}
