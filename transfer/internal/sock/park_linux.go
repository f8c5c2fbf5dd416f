package sock

import (
	"errors"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// Park waits, at most for d (below 0: for as long as it takes), until poll(2) may have something to say of
// fds, without a thread: an epoll instance over them waits in the runtime's poller (an epoll instance can itself
// be polled: epoll(7)). An error means that it has not waited.
func Park(fds []unix.PollFd, d time.Duration) error {
	ep, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return os.NewSyscallError("epoll_create1", err)
	}
	if err := errors.Join(watchAll(ep, fds), unix.SetNonblock(ep, true)); err != nil {
		unix.Close(ep)
		return err
	}
	f := os.NewFile(uintptr(ep), "epoll") // one that does not block goes to the runtime's poller
	defer f.Close()
	rc, err := f.SyscallConn()
	if err != nil {
		return err
	}
	if d >= 0 {
		if err := f.SetReadDeadline(time.Now().Add(d)); err != nil { // it did not go to the poller
			return err
		}
	}
	var events [1]unix.EpollEvent
	err = rc.Read(func(fd uintptr) bool {
		n, err := unix.EpollWait(int(fd), events[:], 0)
		return n > 0 || err != nil && err != unix.EINTR
	})
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return nil
	}
	return err
}

// watchAll has an epoll instance watch what poll(2) would. A descriptor that stands there twice is watched once.
func watchAll(ep int, fds []unix.PollFd) error {
	for i, p := range fds {
		if p.Fd < 0 {
			continue
		}
		events, again := uint32(uint16(p.Events)), false
		for j, q := range fds {
			if q.Fd == p.Fd {
				events |= uint32(uint16(q.Events))
				again = again || j < i
			}
		}
		if again {
			continue
		}
		err := unix.EpollCtl(ep, unix.EPOLL_CTL_ADD, int(p.Fd), &unix.EpollEvent{Events: events, Fd: p.Fd})
		if err != nil && err != unix.EPERM { // EPERM: always ready, and poll(2) has said so
			return os.NewSyscallError("epoll_ctl", err)
		}
	}
	return nil
}
