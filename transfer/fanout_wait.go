package transfer

import (
	"context"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/zcp-go/zcp/transfer/internal/sock"
)

// A slowness is how long one branch alone has held up all others.
type slowness struct {
	of    *branch
	since time.Time
}

// wait sleeps until the source has bytes or a branch that is full has room. It also wakes when a branch
// is left, which poll(2) tells unasked.
func (f *Fanout) wait(ctx context.Context) error {
	fds := []unix.PollFd{{Fd: int32(f.wake.r), Events: unix.POLLIN}}
	var full []*branch
	var at []*branch
	for _, b := range f.branches {
		if b.w < 0 {
			continue
		}
		p := unix.PollFd{Fd: int32(b.w)}
		if b.full {
			full = append(full, b)
			p.Events = unix.POLLOUT
		}
		fds, at = append(fds, p), append(at, b)
	}
	// A tee of an empty pipe and one to a full pipe both say EAGAIN.
	if len(f.block) == 0 && (len(full) == 0 || sock.PollNow(f.r, unix.POLLIN) == 0) {
		full = nil
		for i := range at {
			fds[1+i].Events = 0
		}
		fds = append(fds, unix.PollFd{Fd: int32(f.r), Events: unix.POLLIN})
	}
	if _, err := sock.PollFor(fds, f.wake.atMost(f.patience(full, len(at)))); err != nil && err != unix.EINTR {
		return err
	}
	for i, b := range at {
		if fds[1+i].Revents&unix.POLLERR != 0 || b.out.kind == Unix && fds[1+i].Revents&unix.POLLHUP != 0 {
			b.end()
		}
	}
	f.judge()
	return nil
}

// patience returns how long to wait for the branches that are full, below 0 for as long as it takes.
func (f *Fanout) patience(full []*branch, alive int) time.Duration {
	if f.DropSlow <= 0 || alive < 2 || len(full) != 1 {
		f.slow = slowness{}
		return -1
	}
	if f.slow.of != full[0] {
		f.slow = slowness{full[0], time.Now()}
	}
	return max(0, f.DropSlow-time.Since(f.slow.since))
}

// judge drops the branch that was waited for alone, if all others have read everything all the time. A branch that still reads
// what it has was not held up.
func (f *Fanout) judge() {
	s := f.slow
	if s.of == nil {
		return
	}
	for _, b := range f.branches {
		if b != s.of && b.w >= 0 && unread(b) > 0 {
			f.slow.since = time.Now()
			return
		}
	}
	if time.Since(s.since) < f.DropSlow || s.of.w < 0 {
		return
	}
	f.Dropped(slices.Index(f.branches, s.of))
	s.of.end()
	f.slow = slowness{}
}

// unread returns how many bytes a branch was given and has not been asked for. The end that is written to
// is asked: the other one is its reader's to close.
func unread(b *branch) int64 {
	if b.out.kind == Pipe {
		return pipeUnread(b.w)
	}
	n, _ := sock.Unacked(b.w) // 0 where it is refused
	return n
}
