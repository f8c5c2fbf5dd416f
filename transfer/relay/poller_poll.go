package relay

import (
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/zcp-go/zcp/transfer/internal/sock"
)

// pollSet is the poller of every other system, on poll(2): its cost grows with the
// number of descriptors.
type pollSet struct {
	wakeup   [2]int // a pipe
	at       map[int]int
	fds      []unix.PollFd
	who      []token
	reported []reported
}

type reported struct {
	events uint32
	who    token
}

func newPollSet() (poller, error) {
	p := &pollSet{at: map[int]int{}}
	if err := sock.NewPipe(&p.wakeup); err != nil {
		return nil, os.NewSyscallError("pipe", err)
	}
	return p, p.add(p.wakeup[0], pollIn, wakeToken)
}

func (p *pollSet) add(fd int, asked uint32, who token) error {
	if _, ok := p.at[fd]; ok {
		return unix.EEXIST
	}
	p.at[fd] = len(p.fds)
	p.fds = append(p.fds, unix.PollFd{Fd: int32(fd), Events: int16(asked)})
	p.who = append(p.who, who)
	return nil
}

func (p *pollSet) addListener(fd int, who token) error { return p.add(fd, pollIn, who) }

func (p *pollSet) ask(fd int, asked uint32, who token) error {
	i, ok := p.at[fd]
	if !ok {
		return unix.ENOENT
	}
	p.fds[i] = unix.PollFd{Fd: int32(fd), Events: int16(asked)}
	p.who[i] = who
	return nil
}

func (p *pollSet) remove(fd int) error {
	i, ok := p.at[fd]
	if !ok {
		return unix.ENOENT
	}
	last := len(p.fds) - 1
	p.fds[i], p.who[i] = p.fds[last], p.who[last]
	p.at[p.key(i)] = i
	delete(p.at, fd)
	p.fds, p.who = p.fds[:last], p.who[:last]
	return nil
}

func (p *pollSet) closing(fd int) { _ = p.remove(fd) } // ENOENT: it was never watched

// key returns the descriptor of an entry, which is hidden from poll while it is quiet.
func (p *pollSet) key(i int) int {
	if fd := int(p.fds[i].Fd); fd >= 0 {
		return fd
	}
	return int(^p.fds[i].Fd)
}

func (p *pollSet) wait(d, _ time.Duration) (int, error) {
	p.reported = p.reported[:0]
	if _, err := unix.Poll(p.fds, pollTimeout(d)); err != nil {
		if err == unix.EINTR {
			return 0, nil
		}
		return 0, os.NewSyscallError("poll", err)
	}
	for i := range p.fds {
		f := &p.fds[i]
		if f.Revents == 0 || f.Fd < 0 {
			continue
		}
		if int(f.Fd) == p.wakeup[0] {
			var b [64]byte
			_, _ = unix.Read(p.wakeup[0], b[:]) // what is left in the pipe ends the next wait
		}
		p.reported = append(p.reported, reported{uint32(uint16(f.Revents)), p.who[i]})
		if f.Events == 0 {
			f.Fd = ^f.Fd // parked: reported once; poll passes over negative descriptors
		}
	}
	return len(p.reported), nil
}

func (p *pollSet) event(i int) (uint32, token) {
	return p.reported[i].events, p.reported[i].who
}

func (p *pollSet) wake() {
	_, _ = unix.Write(p.wakeup[1], []byte{0}) // EAGAIN: the pipe is full of wake-ups
}

func (p *pollSet) close() {
	unix.Close(p.wakeup[0])
	unix.Close(p.wakeup[1])
}
