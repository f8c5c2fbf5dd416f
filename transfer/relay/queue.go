package relay

import (
	"errors"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/zcp-go/zcp/transfer"
	"github.com/zcp-go/zcp/transfer/internal/sock"
)

// queues are the links that wait for room in the backlog of a Unix target. A full one is EAGAIN for
// connect(2) and no event tells when there is room. A connect that blocks is woken by the target's accept
// (unix_wait_for_peer in net/unix/af_unix.c), so one goroutine a target connects for all its links,
// first come first served. Trying again later instead, each time after twice as long, let a
// target with a backlog of 1 have 7 clients a second.
type queues struct {
	mu     sync.Mutex
	byPath map[string]*queue
	handed map[*place]int // sockets that are on their way to a loop
	group  sync.WaitGroup // the goroutines that connect
	closed bool
}

type queue struct {
	path   string
	places []*place
}

// A place is that of one link in a queue.
type place struct {
	queue      *queue
	loop       *loop
	link       *link // the loop's own
	generation int32
	left       bool // the link waits no longer
}

// queueSlice is how long a connect blocks before it looks whether a link still waits.
const queueSlice = 100 * time.Millisecond

// waits reports whether links wait for a target: a new one does not overtake them.
func (u *queues) waits(path string) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.byPath[path] != nil
}

// enter puts a link at the end of a target's queue.
func (u *queues) enter(k *link, path string) *place {
	u.mu.Lock()
	defer u.mu.Unlock()
	q := u.byPath[path]
	if q == nil {
		q = &queue{path: path}
		if u.byPath == nil {
			u.byPath, u.handed = make(map[string]*queue), make(map[*place]int)
		}
		u.byPath[path] = q
		u.group.Go(func() { u.serve(q) })
	}
	p := &place{queue: q, loop: k.loop, link: k, generation: k.generation}
	q.places = append(q.places, p)
	return p
}

// leave gives a place up.
func (u *queues) leave(p *place) {
	u.mu.Lock()
	defer u.mu.Unlock()
	p.left = true
}

// first returns the first place of a queue where a link still waits, nil if there is none. The mutex of queues is held.
func (q *queue) first() *place {
	for len(q.places) > 0 && q.places[0].left {
		q.places = q.places[1:]
	}
	if len(q.places) == 0 {
		return nil
	}
	return q.places[0]
}

// take is first, and takes the place out.
func (q *queue) take() *place {
	p := q.first()
	if p != nil {
		q.places = q.places[1:]
	}
	return p
}

// serve connects for the links of a queue until none waits.
func (u *queues) serve(q *queue) {
	for u.wanted(q) {
		fd, err := connectWithin(q.path, queueSlice)
		switch {
		case err == nil:
			u.hand(q, fd)
		case !errors.Is(err, unix.EAGAIN):
			u.fail(q, err)
		}
	}
}

// wanted reports whether a link waits, and takes the queue away where none does.
func (u *queues) wanted(q *queue) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	if q.first() != nil && !u.closed {
		return true
	}
	delete(u.byPath, q.path)
	return false
}

// hand gives a connected socket to the first link that waits.
func (u *queues) hand(q *queue, fd int) {
	u.mu.Lock()
	defer u.mu.Unlock()
	p := q.take()
	if p == nil || u.closed {
		unix.Close(fd)
		return
	}
	u.handed[p] = fd
	p.loop.post(func(*loop) { u.arrived(p) })
}

// arrived runs in the loop of the link that a socket was given to.
func (u *queues) arrived(p *place) {
	u.mu.Lock()
	fd, there := u.handed[p]
	delete(u.handed, p)
	u.mu.Unlock()
	switch k := p.link; {
	case !there:
	case k.waitsAt(p):
		k.dial.place = nil
		k.ends[targetEnd].Endpoint = transfer.Socket(fd, transfer.Unix)
		k.connected()
	default: // the client has gone meanwhile
		u.hand(p.queue, fd)
	}
}

// fail tells all links of a queue that connecting fails.
func (u *queues) fail(q *queue, err error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for p := q.take(); p != nil; p = q.take() {
		p.loop.post(func(*loop) {
			if p.link.waitsAt(p) {
				p.link.queueFailed(err)
			}
		})
	}
}

// close waits for the goroutines, when the loops have ended.
func (u *queues) close() {
	u.mu.Lock()
	u.closed = true
	u.mu.Unlock()
	u.group.Wait()
	for _, fd := range u.handed {
		unix.Close(fd)
	}
}

// connectWithin connects a new socket to a Unix socket and waits at most d for room in its backlog: EAGAIN then.
func connectWithin(path string, d time.Duration) (int, error) {
	fd, err := sock.Stream(unix.AF_UNIX)
	if err != nil {
		return -1, os.NewSyscallError("socket", err)
	}
	timeout := unix.NsecToTimeval(int64(d))
	err = unix.SetNonblock(fd, false)
	if err == nil {
		err = unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &timeout)
	}
	if err == nil {
		err = sock.Retry(func() error { return unix.Connect(fd, &unix.SockaddrUnix{Name: path}) })
	}
	if err == nil {
		err = unix.SetNonblock(fd, true)
	}
	if err != nil {
		unix.Close(fd)
		return -1, os.NewSyscallError("connect", err)
	}
	return fd, nil
}

// waitsAt reports whether a link still waits at a place.
func (k *link) waitsAt(p *place) bool {
	return k.generation == p.generation && k.dial != nil && k.dial.place == p
}

// leaveQueue gives up a link's place, if it has one.
func (k *link) leaveQueue() {
	if p := k.dial.place; p != nil {
		k.loop.r.queues.leave(p)
		k.dial.place = nil
	}
}

// queueFailed goes on after an error of connecting, or of waiting too long.
func (k *link) queueFailed(err error) {
	k.leaveQueue()
	if passes(err) && !errors.Is(err, unix.EAGAIN) {
		k.backOff()
		return
	}
	k.dial.left--
	k.nextAfter(err)
}
