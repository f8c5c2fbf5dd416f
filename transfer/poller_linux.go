package transfer

import (
	"encoding/binary"
	"os"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// epoll is the poller of Linux.
type epoll struct {
	fd, bell int
	events   [128]unix.EpollEvent
}

func newPoller() (poller, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("epoll_create1", err)
	}
	bell, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		unix.Close(fd)
		return nil, os.NewSyscallError("eventfd", err)
	}
	p := &epoll{fd: fd, bell: bell}
	// On edges: each write rings once and nobody has to read the counter back.
	if err := p.ctl(unix.EPOLL_CTL_ADD, bell, unix.EPOLLIN|unix.EPOLLET, wakeToken); err != nil {
		p.close()
		return nil, err
	}
	return p, nil
}

func (p *epoll) ctl(op, fd int, events uint32, who token) error {
	e := unix.EpollEvent{Events: events, Fd: who.slot, Pad: who.use}
	return os.NewSyscallError("epoll_ctl", unix.EpollCtl(p.fd, op, fd, &e))
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

// wait asks without waiting first: a busy loop always finds something, and such a call
// need not tell the scheduler that the thread may be gone for long.
func (p *epoll) wait(d time.Duration) (int, error) {
	n, _, e := unix.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(p.fd), uintptr(unsafe.Pointer(&p.events[0])), uintptr(len(p.events)), 0, 0, 0)
	if e != 0 {
		return 0, e
	}
	if n > 0 || d == 0 {
		return int(n), nil
	}
	m, err := unix.EpollWait(p.fd, p.events[:], pollTimeout(d))
	if err == unix.EINTR {
		return 0, nil
	}
	return m, os.NewSyscallError("epoll_wait", err)
}

func (p *epoll) event(i int) (uint32, token) {
	e := &p.events[i]
	return e.Events, token{e.Fd, e.Pad}
}

func (p *epoll) wake() {
	_, _ = unix.Write(p.bell, binary.NativeEndian.AppendUint64(nil, 1)) // refused only after 2^64-2 rings
}

func (p *epoll) close() {
	unix.Close(p.bell)
	unix.Close(p.fd)
}
