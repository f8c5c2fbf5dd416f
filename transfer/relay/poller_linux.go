package relay

import (
	"encoding/binary"
	"os"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// epoll is the poller of Linux.
type epoll struct {
	fd, wakeup int
	noBrief    bool // epoll_pwait2 is refused
	events     [128]unix.EpollEvent
}

func newPoller() (poller, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("epoll_create1", err)
	}
	wakeup, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		unix.Close(fd)
		return nil, os.NewSyscallError("eventfd", err)
	}
	p := &epoll{fd: fd, wakeup: wakeup}
	// Edge-triggered: each write wakes once and the counter need not be read back.
	if err := p.ctl(unix.EPOLL_CTL_ADD, wakeup, unix.EPOLLIN|unix.EPOLLET, wakeToken); err != nil {
		p.close()
		return nil, err
	}
	return p, nil
}

func (p *epoll) ctl(op, fd int, events uint32, who token) error {
	event := unix.EpollEvent{Events: events, Fd: who.slot, Pad: who.generation}
	if _, _, e := unix.RawSyscall6(unix.SYS_EPOLL_CTL, uintptr(p.fd), uintptr(op), uintptr(fd), uintptr(unsafe.Pointer(&event)), 0, 0); e != 0 {
		return os.NewSyscallError("epoll_ctl", e)
	}
	return nil
}

// level returns the events for what is asked. A parked descriptor is watched on edges:
// EPOLLERR and EPOLLHUP cannot be switched off, and a socket whose peer is gone while
// the other side is full would wake the loop without end.
func level(asked uint32) uint32 {
	if asked == 0 {
		return unix.EPOLLET
	}
	return asked
}

func (p *epoll) add(fd int, asked uint32, who token) error {
	return p.ctl(unix.EPOLL_CTL_ADD, fd, level(asked), who)
}

func (p *epoll) addListener(fd int, who token) error {
	return p.ctl(unix.EPOLL_CTL_ADD, fd, unix.EPOLLIN|unix.EPOLLEXCLUSIVE, who)
}

func (p *epoll) ask(fd int, asked uint32, who token) error {
	return p.ctl(unix.EPOLL_CTL_MOD, fd, level(asked), who)
}

func (p *epoll) remove(fd int) error {
	return os.NewSyscallError("epoll_ctl", unix.EpollCtl(p.fd, unix.EPOLL_CTL_DEL, fd, nil))
}

// closing has nothing to do: the last close(2) of a description takes it out of every epoll (epoll(7)).
func (p *epoll) closing(int) {}

// wait waits for keep without telling the scheduler, and then for as long as it takes.
func (p *epoll) wait(d, keep time.Duration) (int, error) {
	if keep > 0 {
		n, err := p.waitBriefly(d, keep)
		if n > 0 || err != nil || d >= 0 && d <= keep {
			return n, err
		}
	}
	n, err := unix.EpollWait(p.fd, p.events[:], pollTimeout(d))
	if err == unix.EINTR {
		return 0, nil
	}
	return n, os.NewSyscallError("epoll_wait", err)
}

// waitBriefly waits for d or keep, whichever is shorter; before Linux 5.11, and where
// a filter refuses epoll_pwait2(2), it only asks. A signal ends it, the collector's among them.
func (p *epoll) waitBriefly(d, keep time.Duration) (int, error) {
	if d >= 0 && d < keep {
		keep = d
	}
	limit := [2]int64{0, int64(keep)} // the kernel's timespec, of 64 bits on 32-bit systems as well
	n, e := uintptr(0), unix.ENOSYS
	if !p.noBrief {
		n, _, e = unix.RawSyscall6(unix.SYS_EPOLL_PWAIT2, uintptr(p.fd), uintptr(unsafe.Pointer(&p.events[0])), uintptr(len(p.events)), uintptr(unsafe.Pointer(&limit)), 0, 0)
		p.noBrief = e != 0 && e != unix.EINTR
	}
	if p.noBrief {
		n, _, e = unix.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(p.fd), uintptr(unsafe.Pointer(&p.events[0])), uintptr(len(p.events)), 0, 0, 0)
	}
	switch e {
	case 0:
		return int(n), nil
	case unix.EINTR:
		return 0, nil
	}
	return 0, os.NewSyscallError("epoll_wait", e)
}

func (p *epoll) event(i int) (uint32, token) {
	e := &p.events[i]
	return e.Events, token{e.Fd, e.Pad}
}

func (p *epoll) wake() {
	_, _ = unix.Write(p.wakeup, binary.NativeEndian.AppendUint64(nil, 1)) // refused only after 2^64-2 writes
}

func (p *epoll) close() {
	unix.Close(p.wakeup)
	unix.Close(p.fd)
}
