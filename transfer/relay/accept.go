package relay

import (
	"net/netip"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/zcp-go/zcp/transfer"
	"github.com/zcp-go/zcp/transfer/internal/sock"
)

// accepts is a loop's side of accepting.
type accepts struct {
	listening bool  // the listeners are in the poller
	full      bool  // they are not, because of MaxConns
	resumeAt  int64 // they are not until then: descriptors or memory ran out
	backoff   time.Duration
	atOnce    int   // connections to accept at the next report of a listener
	reserved  []int // descriptors held in reserve for the next target; none while in use
	broken    error // why accepting cannot go on
}

const (
	acceptAtOnce    = 16 // most connections accepted a turn, so that open ones are served as well
	minPause        = 5 * time.Millisecond
	maxPause        = time.Second
	starvedInterval = int64(time.Second) // at most this often

	manyListeners = 64                    // with more of them, accepting is not resumed with every connection that ends
	listenAgain   = 50 * time.Millisecond // 5,000 listeners take 5 ms to stop and resume: a tenth of that

	firstListener = -2 // the slot of listener 0; below it are the others
)

// listen puts the listeners into the poller, unless there is a reason not to.
func (l *loop) listen() {
	if l.listening || l.leaving || l.full || l.resumeAt > 0 || l.surplus() {
		return
	}
	if l.r.dialsWithoutFD.Load() > 0 {
		l.pause()
		return
	}
	if len(l.reserved) == 0 {
		var err error
		if l.reserved, err = reserveFDs(l.r.forTarget()); err != nil {
			l.starve(err)
			return
		}
	}
	for i, s := range l.socks {
		if err := l.poll.addListener(s.fd, token{slot: firstListener - int32(i)}); err != nil {
			l.broken = err
		}
	}
	l.listening = true
}

func (l *loop) stopListening() {
	if !l.listening {
		return
	}
	l.listening = false
	for _, s := range l.socks {
		_ = l.poll.remove(s.fd) // it is in there: listening says so
	}
}

// leaveListeners gives the listeners up; the last loop to do so closes them.
func (l *loop) leaveListeners() {
	l.stopListening()
	for i, s := range l.socks {
		if s.users.Add(-1) > 0 {
			continue
		}
		l.r.closing.Lock()
		s.close()
		l.r.closing.Unlock()
		if i == len(l.socks)-1 && l.r.draining.Load() {
			l.r.emit(Event{Kind: Draining, Open: l.r.openNow()})
		}
	}
	l.socks = nil
}

// accept accepts 1 connection a turn, doubling to acceptAtOnce while the backlog is not empty.
// Polling is level-triggered, so the rest is reported again; when connections come one at a time,
// no accept is wasted on EAGAIN.
func (l *loop) accept(s *listenSocket) {
	for n := range max(1, l.atOnce) {
		if !l.listening {
			return
		}
		if l.r.dialsWithoutFD.Load() > 0 { // descriptors are for the targets of accepted clients first
			l.pause()
			return
		}
		if !l.r.reserve() {
			l.waitForRoom()
			return
		}
		fd, peer, err := sock.Accept(s.fd)
		if err == nil {
			l.backoff = 0
			l.admit(s, fd, peer)
			continue
		}
		l.release()
		if l.acceptFailed(err) {
			l.atOnce = n
			return
		}
	}
	l.atOnce = min(2*max(1, l.atOnce), acceptAtOnce)
}

// acceptFailed reports whether to stop accepting for this turn.
func (l *loop) acceptFailed(err error) bool {
	switch err {
	case unix.EAGAIN:
	case unix.EMFILE, unix.ENFILE, unix.ENOBUFS, unix.ENOMEM:
		l.starve(err)
	case unix.EBADF, unix.EINVAL, unix.ENOTSOCK, unix.EOPNOTSUPP, unix.EFAULT:
		l.broken = os.NewSyscallError("accept", err)
	default:
		return false // the connection is at fault: ECONNABORTED, and what accept(2) says of network errors
	}
	return true
}

// starve stops accepting for a while; clients wait in the backlog, unharmed. Idle pipes are
// closed, because they are descriptors too.
func (l *loop) starve(err error) {
	l.closeIdlePipes()
	l.pause()
	if last := l.r.lastStarved.Load(); last == 0 || l.now-last >= starvedInterval {
		if l.r.lastStarved.CompareAndSwap(last, max(1, l.now)) {
			l.r.each((*loop).closeIdlePipes)
			l.r.emit(Event{Kind: AcceptPaused, Err: err, Open: l.r.openNow()})
		}
	}
}

// pause stops accepting, for longer each time.
func (l *loop) pause() {
	l.stopListening()
	if l.resumeAt > l.now {
		return // already paused in this turn
	}
	l.backoff = min(max(2*l.backoff, minPause), maxPause)
	l.resumeAt = l.now + int64(l.backoff)
}

func (l *loop) closeIdlePipes() {
	l.pipes.Close()
	l.r.pool.CloseIdle()
}

// waitForRoom stops accepting until a connection ends.
func (l *loop) waitForRoom() {
	l.full = true
	l.stopListening()
	l.suspectCircle()
	l.r.atMaxConns.Store(true)
	if l.r.open.Load() < int64(l.r.MaxConns) { // the last one ended before it could see atMaxConns
		l.makeRoom()
	}
}

func (l *loop) makeRoom() {
	l.full = false
	if len(l.socks) > manyListeners && l.resumeAt == 0 { // each of them is a system call
		l.resumeAt = l.now + int64(listenAgain)
		return
	}
	l.listen()
}

// reserve counts one more connection as open and reports true, unless MaxConns are.
func (r *Relay) reserve() bool {
	for {
		n := r.open.Load()
		if n >= int64(r.MaxConns) {
			return false
		}
		if r.open.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

// release takes back one from the connections that are open.
func (l *loop) release() {
	if l.r.open.Add(-1) == 0 { // never while the door is closed: then none is open
		l.r.emptied.Store(int64(time.Since(l.r.base)))
		l.r.circling.Store(false)
	}
	if l.r.atMaxConns.Load() && l.r.atMaxConns.CompareAndSwap(true, false) {
		l.r.each((*loop).makeRoom)
	}
}

// admit begins a link with a client that has just been accepted.
func (l *loop) admit(s *listenSocket, fd int, peer netip.AddrPort) {
	kind := transfer.Unix
	if peer.IsValid() {
		kind = transfer.TCP
		if !s.ours {
			if err := sock.ArmNew(fd); err != nil { // the client has reset it already
				unix.Close(fd)
				l.release()
				return
			}
		}
	}
	greets := l.r.wantsHeader(peer) // then the gate is for the client that the header names
	if !greets && !l.r.Gate.Admits(peer.Addr()) {
		unix.Close(fd) // it is armed: a reset
		l.release()
		l.denied.Add(1)
		l.r.emit(Event{Kind: Denied, Conn: ConnInfo{Peer: addrName(peer)}, Open: l.r.openNow()})
		return
	}
	if peer.IsValid() && !s.unpaced {
		_ = l.control(fd, peer.Addr()) // the client has reset it already, as its first event will say
	}
	k := l.newLink()
	k.via = s
	s.figures.open.Add(1)
	s.figures.total.Add(1)
	k.id, k.began, k.moved, k.peer = l.r.ids.Add(1), l.now, l.now, peer
	k.ends[clientEnd].Endpoint = transfer.Socket(fd, kind)
	k.ends[clientEnd].prompt = true
	k.ends[targetEnd].Endpoint = transfer.Socket(-1, transfer.TCP)
	if greets {
		k.greet()
		return
	}
	k.beginDial()
}

// beginDial begins to connect a client with the target.
func (k *link) beginDial() {
	k.loop.accepted.Add(1)
	k.nextCheck = k.loop.now + int64(dialCheck)
	k.schedule(k.nextCheck)
	k.startDial()
}
