package transfer

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// A dialing is what a link needs until its target is connected. Times are on the loop's clock.
type dialing struct {
	addrs  []netip.AddrPort
	next   int // index of the address to try next
	left   int // addresses not tried, 1 for a Unix socket
	giveUp int64
	retry  int64 // no new round begins after this
	pause  time.Duration
	again  int64 // when what is put off is tried again; 0: nothing is
	until  int64 // when the attempt in progress has taken too long; 0: no limit
	err    error // of the last attempt

	vain  time.Duration // how long it was last put off until something passes; 0: it was not
	short bool          // it has no descriptors, and is counted in Relay.short

	asks  bool // it is being looked up
	asked int  // how often it was: whoever answers says what to
}

const (
	firstPause = 50 * time.Millisecond
	longPause  = time.Second
	leastTry   = 2 * time.Second // for one of several addresses, as package net does it

	leastVain = 10 * time.Millisecond
	mostVain  = 500 * time.Millisecond
)

// dial begins to connect a link with the target.
func (l *loop) dial(k *link) {
	if n := len(l.dialings); n > 0 {
		k.dial, l.dialings = l.dialings[n-1], l.dialings[:n-1]
	} else {
		k.dial = new(dialing)
	}
	*k.dial = dialing{pause: firstPause, retry: l.now + int64(l.r.Dialer.RetryFor)}
	l.round(k)
}

// dialed is told that what dial began has come to its end.
func (l *loop) dialed(k *link) {
	const keep = 64
	l.notShort(k.dial)
	if len(l.dialings) < keep {
		l.dialings = append(l.dialings, k.dial)
	}
	k.dial = nil
}

// round looks the target up and tries all its addresses.
func (l *loop) round(k *link) {
	d, g := k.dial, &l.r.goal
	d.again, d.giveUp = 0, 0
	if l.r.Dialer.Wait > 0 {
		d.giveUp = l.now + int64(l.r.Dialer.Wait)
	}
	if g.host == "" {
		d.addrs, d.next, d.left = g.addrs, 0, max(1, len(g.addrs))
		l.tryNext(k)
		return
	}
	l.lookUp(k)
}

// tryNext goes on to the next address, or ends the round.
func (l *loop) tryNext(k *link) {
	d := k.dial
	for d.left > 0 {
		d.left--
		err := l.attempt(k)
		switch {
		case err == nil:
			l.connected(k)
			return
		case errors.Is(err, unix.EINPROGRESS):
			if err = l.watch(k, targetEnd, pollOut); err == nil {
				l.schedule(k, d.until)
				return
			}
		case passes(err) && (d.giveUp == 0 || l.now < d.giveUp):
			l.hangUp(k, targetEnd)
			d.left++
			l.untilItPasses(k, err)
			return
		case reset(err):
			l.brokenOff(k, err)
			return
		}
		d.err = err
		l.hangUp(k, targetEnd)
		d.next++
	}
	l.roundFailed(k)
}

// attempt begins to connect to the address that is next. Where the connection does not
// stand at once, as with TCP, it returns EINPROGRESS and d.until says how long to wait.
func (l *loop) attempt(k *link) error {
	d, path := k.dial, l.r.goal.path
	family, kind := unix.AF_UNIX, Unix
	if path == "" {
		family, kind, k.to = unix.AF_INET6, TCP, d.addrs[d.next]
		if k.to.Addr().Is4() {
			family = unix.AF_INET
		}
	}
	fd, err := l.socket(family)
	if err != nil {
		return os.NewSyscallError("socket", err)
	}
	l.notShort(d)
	k.ends[targetEnd].Endpoint = Endpoint{fd: fd, kind: kind, nonblock: true, owned: true, raw: true}
	if kind == Unix {
		return os.NewSyscallError("connect", unix.Connect(fd, &unix.SockaddrUnix{Name: path}))
	}
	d.until = d.giveUp
	if d.giveUp > 0 && d.left > 0 {
		d.until = min(d.giveUp, l.now+max(int64(leastTry), (d.giveUp-l.now)/int64(d.left+1)))
	}
	return l.connect(fd, k.to)
}

func (l *loop) connect(fd int, to netip.AddrPort) error {
	if err := armFD(fd); err != nil {
		return err
	}
	if err := l.bindTo(fd, to.Addr()); err != nil {
		return err
	}
	err := rawConnect(fd, to)
	if err == unix.EINPROGRESS && to.Addr().IsLoopback() {
		// On this host it stands when connect returns, as a rule, and only the second call says so.
		if err = rawConnect(fd, to); err == unix.EALREADY {
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

// bindTo binds a new socket to the source address asked for, if it is of the same family.
func (l *loop) bindTo(fd int, to netip.Addr) error {
	from := l.r.bind
	if !from.IsValid() {
		return nil
	}
	if from.Addr().Unmap().Is4() != to.Is4() {
		return &net.AddrError{Err: "no source address of this family", Addr: to.String()}
	}
	if from.Port() != 0 {
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1) // bind says what is wrong
	} else {
		bindNoPort(fd)
	}
	return os.NewSyscallError("bind", unix.Bind(fd, sockaddrOf(netip.AddrPortFrom(from.Addr().Unmap(), from.Port()))))
}

// attemptEnded is told that a connect is through, well or badly.
func (l *loop) attemptEnded(k *link, events uint32) {
	fd, err := k.ends[targetEnd].fd, error(nil)
	if events != pollOut {
		err = socketError(fd)
	}
	if err == nil && k.ends[targetEnd].kind == TCP && l.r.selfConnected(fd, k.to) {
		err = unix.ECONNREFUSED
	}
	switch {
	case err == nil:
		l.connected(k)
	case reset(err):
		l.brokenOff(k, err)
	default:
		l.nextAfter(k, os.NewSyscallError("connect", err))
	}
}

// brokenOff is told that a connect was answered by a reset. A reset of what does not stand
// yet is a refusal; so it stood, and the target, who may have spoken, broke off before we looked.
func (l *loop) brokenOff(k *link, err error) {
	l.connected(k)
	if !k.over {
		l.lastWords(k, targetEnd)
		l.endBroken(k, targetEnd, err)
	}
}

func (l *loop) nextAfter(k *link, err error) {
	k.dial.err = err
	l.hangUp(k, targetEnd)
	k.dial.next++
	l.tryNext(k)
}

// selfConnected tells whether a socket has connected to itself: a port that nobody
// listens on, among those that are given out, may be given to the very socket that
// connects to it (RFC 9293, 3.5: simultaneous open).
func (r *Relay) selfConnected(fd int, to netip.AddrPort) bool {
	return to.Addr().IsLoopback() && to.Port() >= r.givenOut && localAddr(fd) == to
}

// roundFailed tries again later, as long as it may, or gives the client up.
func (l *loop) roundFailed(k *link) {
	d := k.dial
	if l.now < d.retry && worthRetrying(d.err) {
		l.putOff(k, min(d.pause, time.Duration(d.retry-l.now)))
		d.pause = min(2*d.pause, longPause)
		return
	}
	l.end(k, TargetUnreachable, d.err)
}

func (l *loop) putOff(k *link, d time.Duration) {
	k.dial.again, k.dial.until = l.now+int64(d), 0
	l.schedule(k, k.dial.again)
}

// dialTimers does what is due while a link is connecting, and returns when to look again.
func (l *loop) dialTimers(k *link) (next int64) {
	d := k.dial
	switch {
	case d.again > 0 && l.now >= d.again:
		d.again = 0
		switch {
		case d.asks:
			l.lookUp(k)
		case d.left > 0:
			l.tryNext(k)
		default:
			l.round(k)
		}
		return 0 // whoever waits has scheduled it
	case d.until > 0 && l.now >= d.until && d.asks:
		d.asks, d.err = false, &net.DNSError{Err: "no answer in the time allowed", Name: l.r.goal.host, IsTimeout: true}
		l.roundFailed(k)
		return 0
	case d.until > 0 && l.now >= d.until:
		l.nextAfter(k, os.NewSyscallError("connect", unix.ETIMEDOUT))
		return 0
	}
	return sooner(d.again, d.until)
}

// sockaddrOf returns a new Sockaddr: unix.Connect writes into it.
func sockaddrOf(a netip.AddrPort) unix.Sockaddr {
	ip := a.Addr()
	if ip.Is4() {
		return &unix.SockaddrInet4{Port: int(a.Port()), Addr: ip.As4()}
	}
	sa := &unix.SockaddrInet6{Port: int(a.Port()), Addr: ip.As16()}
	if ip.Zone() != "" {
		sa.ZoneId = zoneID(ip.Zone())
	}
	return sa
}
