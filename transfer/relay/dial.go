package relay

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/zcp-go/zcp/transfer"
	"github.com/zcp-go/zcp/transfer/internal/sock"
)

// A dialing is what a link needs until its target is connected. Times are on the loop's clock.
type dialing struct {
	order  []*target // the targets, in the order in which they are tried
	good   int       // of these, those that have not failed lately
	turn   int       // index in order of the target to try next
	addrs  []netip.AddrPort
	next   int   // index of the address to try next
	left   int   // addresses not tried, 1 for a Unix socket
	limit  int64 // the target's share of the time has passed then; 0: no limit
	giveUp int64
	retry  int64 // no new round begins after this
	pause  time.Duration
	again  int64 // when to try again; 0: not waiting for that
	until  int64 // when the attempt in progress has taken too long; 0: no limit
	err    error // of the last attempt

	backoff   time.Duration // the last wait for descriptors; 0: none
	withoutFD bool          // it has no descriptor for the target; counted in running.dialsWithoutFD

	place *place // in the queue for room in the backlog of a Unix target

	lookingUp bool // a lookup of the target is in progress
	lookupSeq int  // number of the last lookup: an answer to an older one is dropped
}

const (
	firstPause = 50 * time.Millisecond
	longPause  = time.Second

	minBackoff = 10 * time.Millisecond
	maxBackoff = 500 * time.Millisecond
)

// startDial begins to connect a link with the target.
func (k *link) startDial() {
	l := k.loop
	if n := len(l.dialings); n > 0 {
		k.dial, l.dialings = l.dialings[n-1], l.dialings[:n-1]
	} else {
		k.dial = new(dialing)
	}
	*k.dial = dialing{order: k.dial.order[:0], pause: firstPause, retry: l.now + int64(l.r.Dialer.RetryFor)}
	if !k.pauseInCircle() {
		k.round()
	}
}

// dialed frees what connecting needed: it has succeeded, failed or been given up.
func (k *link) dialed() {
	l := k.loop
	const keep = 64
	l.hasFD(k.dial)
	k.leaveQueue()
	if len(l.dialings) < keep {
		l.dialings = append(l.dialings, k.dial)
	}
	k.dial = nil
}

// round tries all targets.
func (k *link) round() {
	l := k.loop
	d := k.dial
	d.again, d.giveUp, d.turn = 0, 0, 0
	if l.r.Dialer.Wait > 0 {
		d.giveUp = l.now + int64(l.r.Dialer.Wait)
	}
	d.order, d.good = k.via.route.order(l.now, l.r.Spread, d.order[:0])
	k.nextTarget()
}

// nextTarget looks the next target up and tries all its addresses, or ends the round. Its share of
// the time is what is left, divided by the targets that are left: those that have not failed lately
// before the others.
func (k *link) nextTarget() {
	l := k.loop
	d := k.dial
	left := d.good - d.turn
	if left <= 0 {
		left = len(d.order) - d.turn
	}
	if left == 0 {
		k.roundFailed()
		return
	}
	g := d.order[d.turn]
	d.turn++
	k.target, d.limit, d.lookingUp = g, d.giveUp, false
	if d.giveUp > 0 {
		d.limit = l.now + (d.giveUp-l.now)/int64(left)
	}
	if g.host == "" {
		d.addrs, d.next, d.left = g.addrs, 0, max(1, len(g.addrs))
		k.tryNext()
		return
	}
	k.lookUp()
}

// targetFailed goes on to the next target.
func (k *link) targetFailed() {
	k.target.failed(k.loop.now)
	k.nextTarget()
}

// tryNext goes on to the next address, or to the next target.
func (k *link) tryNext() {
	l := k.loop
	d := k.dial
	for d.left > 0 {
		d.left--
		err := k.attempt()
		switch {
		case err == nil:
			k.connected()
			return
		case errors.Is(err, unix.EINPROGRESS):
			if err = k.watch(targetEnd, pollOut); err == nil {
				k.schedule(d.until)
				return
			}
		case passes(err) && (d.limit == 0 || l.now < d.limit):
			k.hangUp(targetEnd)
			d.left++
			if errors.Is(err, unix.EAGAIN) {
				k.queueUp(k.target.path)
			} else {
				k.backOff()
			}
			return
		case transfer.IsReset(err):
			k.brokenOff(err)
			return
		}
		d.err = err
		k.hangUp(targetEnd)
		d.next++
	}
	k.targetFailed()
}

// attempt begins to connect to the address that is next. Where the connect does not
// complete at once, as with TCP, it returns EINPROGRESS, and d.until is when it has taken too long.
func (k *link) attempt() error {
	l := k.loop
	d, path := k.dial, k.target.path
	family, kind := unix.AF_UNIX, transfer.Unix
	if path == "" {
		family, kind, k.to = unix.AF_INET6, transfer.TCP, d.addrs[d.next]
		if k.to.Port() == 0 { // of a name, which targets with different ports may share
			k.to = netip.AddrPortFrom(k.to.Addr(), k.target.port)
		}
		if k.to.Addr().Is4() {
			family = unix.AF_INET
		}
		if l.r.itself(k.to) {
			return ErrItself
		}
	} else if l.r.itselfUnix(path) {
		return ErrItself
	} else if l.r.queues.waits(path) {
		return os.NewSyscallError("connect", unix.EAGAIN)
	}
	fd, err := l.socket(family)
	if err != nil {
		return os.NewSyscallError("socket", err)
	}
	l.hasFD(d)
	k.ends[targetEnd].Endpoint = transfer.Socket(fd, kind)
	if kind == transfer.Unix {
		return os.NewSyscallError("connect", unix.Connect(fd, &unix.SockaddrUnix{Name: path}))
	}
	d.until = d.limit
	if d.limit > 0 && d.left > 0 {
		d.until = l.now + (d.limit-l.now)/int64(d.left+1)
	}
	return k.connect(fd)
}

func (k *link) connect(fd int) error {
	l, to := k.loop, k.to
	if err := sock.Before(fd, l.r.bind.Port() != 0); err != nil {
		return err
	}
	if err := l.control(fd, to.Addr()); err != nil {
		return err
	}
	if l.r.Dialer.DSCP != 0 {
		if err := sock.SetDSCP(fd, l.r.Dialer.DSCP); err != nil {
			return err
		}
	}
	if err := k.bindSource(fd); err != nil {
		return err
	}
	err := sock.Connect(fd, to)
	if err == unix.EINPROGRESS && to.Addr().IsLoopback() {
		// On this host the handshake is usually complete when connect returns; only a second call reports it.
		if err = sock.Connect(fd, to); err == unix.EALREADY {
			err = unix.EINPROGRESS
		} else if err == unix.EISCONN {
			err = nil
		}
	}
	if err == nil && l.r.selfConnected(fd, to) {
		err = unix.ECONNREFUSED
	}
	return os.NewSyscallError("connect", err)
}

// bindSource binds a new socket to the client's address, where that is asked for and the client has one of the
// target's family, or to Dialer.Bind.
func (k *link) bindSource(fd int) error {
	from := k.peer.Addr()
	if !k.loop.r.AsClient || !from.IsValid() || from.Is4() != k.to.Addr().Is4() {
		return k.loop.bindTo(fd, k.to.Addr())
	}
	if err := sock.BindTransparent(fd, from); err != nil {
		return &transfer.SourceError{Addr: from.String(), Err: err}
	}
	return nil
}

// bindTo binds a new socket to Dialer.Bind, if that is of the target's family.
func (l *loop) bindTo(fd int, to netip.Addr) error {
	from := l.r.bind
	if !from.IsValid() {
		return nil
	}
	if from.Addr() == netip.IPv6Unspecified() && to.Is4() {
		from = netip.AddrPortFrom(netip.IPv4Unspecified(), from.Port())
	}
	if from.Addr().Unmap().Is4() != to.Is4() {
		return &net.AddrError{Err: "no source address of this family", Addr: to.String()}
	}
	if from.Port() == 0 {
		sock.BindNoPort(fd)
	}
	if err := unix.Bind(fd, sock.Sockaddr(netip.AddrPortFrom(from.Addr().Unmap(), from.Port()))); err != nil {
		return &transfer.SourceError{Addr: l.r.Dialer.Bind, Err: err}
	}
	return nil
}

// attemptEnded handles the poller's report that a connect has succeeded or failed.
func (k *link) attemptEnded(events uint32) {
	l := k.loop
	fd, err := k.ends[targetEnd].FD(), error(nil)
	if events != pollOut {
		err = sock.Error(fd)
	}
	if err == nil && k.ends[targetEnd].Kind() == transfer.TCP && l.r.selfConnected(fd, k.to) {
		err = unix.ECONNREFUSED
	}
	switch {
	case err == nil:
		k.connected()
	case transfer.IsReset(err):
		k.brokenOff(err)
	default:
		k.nextAfter(os.NewSyscallError("connect", err))
	}
}

// brokenOff handles a reset that was found instead of a connection. A reset before the handshake is
// a refusal (ECONNREFUSED); so the handshake was complete, and the target, which may have sent
// bytes, reset the connection before the loop looked.
func (k *link) brokenOff(err error) {
	k.connected()
	if !k.over {
		k.drainBroken(targetEnd)
		k.endBroken(targetEnd, err)
	}
}

func (k *link) nextAfter(err error) {
	k.dial.err = err
	k.hangUp(targetEnd)
	k.dial.next++
	k.tryNext()
}

// selfConnected reports whether a socket has connected to itself. Only a port that the kernel hands
// out, or the source port that was asked for, can be its own.
func (r *Relay) selfConnected(fd int, to netip.AddrPort) bool {
	return (to.Port() >= r.ephemeralMin || to.Port() == r.bind.Port()) && sock.SelfConnected(fd, to)
}

// roundFailed tries again later, within Dialer.RetryFor, or resets the client.
func (k *link) roundFailed() {
	l := k.loop
	d := k.dial
	if l.now < d.retry && transfer.WorthRetrying(d.err) {
		k.putOff(min(d.pause, time.Duration(d.retry-l.now)))
		d.pause = min(2*d.pause, longPause)
		return
	}
	k.end(TargetUnreachable, d.err)
}

func (k *link) putOff(d time.Duration) {
	l := k.loop
	k.dial.again, k.dial.until = l.now+int64(d), 0
	k.schedule(k.dial.again)
}

// dialTimers does what is due while a link is connecting, and returns when it is due next.
func (k *link) dialTimers() (next int64) {
	l := k.loop
	d := k.dial
	switch {
	case d.again > 0 && l.now >= d.again:
		d.again = 0
		switch {
		case d.lookingUp:
			k.lookUp()
		case d.left > 0:
			k.tryNext()
		default:
			k.round()
		}
		return 0 // what was begun here has scheduled its own end
	case d.place != nil && d.until > 0 && l.now >= d.until:
		k.queueFailed(os.NewSyscallError("connect", unix.EAGAIN))
		return 0
	case d.until > 0 && l.now >= d.until && d.lookingUp:
		d.lookingUp, d.err = false, &net.DNSError{Err: "no answer in the time allowed", Name: k.target.host, IsTimeout: true}
		k.targetFailed()
		return 0
	case d.until > 0 && l.now >= d.until:
		if events := sock.PollNow(k.ends[targetEnd].FD(), pollOut); events != 0 { // after a stop of the process it has ended meanwhile
			k.attemptEnded(events)
			return 0
		}
		k.nextAfter(os.NewSyscallError("connect", unix.ETIMEDOUT))
		return 0
	}
	return sooner(d.again, d.until)
}
