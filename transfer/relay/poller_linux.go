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

// briefWait is how long a loop waits without telling the scheduler, in nanoseconds. A loop
// with work to do is woken within it, and is spared what the runtime does for a thread that
// may be gone for long: a futex call at its return, and the monitor that looks every 20 us
// (measured with short connections: 157 us of processor time each instead of 173, 5355 a second
// instead of 4625). The garbage collector waits as long at the most.
//
// To ask again and again before it sleeps does not pay: 64 bytes there and back on one connection, 2 processors
// that both peers run on as well, took the relay 59 us of processor time a round without, 63 when it asked for up to
// 20 us, 80 for 50 us and 82 for 100 us, and no less time: 101 us a round without, 104, 103 and 99 with; on busy
// processors 45 us without and 55, 68 and 72 with (BenchmarkPolling, medians of 3). A peer that could run where the
// relay asks is what it waits for.
const briefWait = 200_000

// wait waits briefly without telling the scheduler, and then for as long as it takes.
func (p *epoll) wait(d time.Duration) (int, error) {
	n, err := p.waitBriefly(d)
	if n > 0 || err != nil || d >= 0 && d <= briefWait {
		return n, err
	}
	n, err = unix.EpollWait(p.fd, p.events[:], pollTimeout(d))
	if err == unix.EINTR {
		return 0, nil
	}
	return n, os.NewSyscallError("epoll_wait", err)
}

// waitBriefly waits for d or briefWait, whichever is shorter; before Linux 5.11, and where
// a filter refuses epoll_pwait2(2), it only asks. A signal ends it, the collector's among them.
func (p *epoll) waitBriefly(d time.Duration) (int, error) {
	limit := [2]int64{0, briefWait} // the kernel's timespec, of 64 bits on 32-bit systems as well
	if d >= 0 && d < briefWait {
		limit[1] = int64(d)
	}
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
