package transfer

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// A goal is what all connections are made to.
type goal struct {
	network string // as net.Resolver.LookupNetIP calls it: ip, ip4, ip6
	host    string // a name to look up for each connection; "" where addrs holds a literal address
	port    uint16
	addrs   []netip.AddrPort
	path    string // of a Unix socket
}

// aimAt reads a target. The port is looked up here, once.
func aimAt(ctx context.Context, network, address string) (goal, error) {
	if network == "unix" {
		return goal{path: address}, nil
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return goal{}, err
	}
	n, err := net.DefaultResolver.LookupPort(ctx, network, port)
	if err != nil {
		return goal{}, err
	}
	g := goal{host: host, port: uint16(n), network: map[string]string{"tcp4": "ip4", "tcp6": "ip6"}[network]}
	if g.network == "" {
		g.network = "ip"
	}
	if ip, err := netip.ParseAddr(host); err == nil {
		if ip = ip.Unmap(); network == "tcp4" && ip.Is6() || network == "tcp6" && ip.Is4() {
			return goal{}, &net.AddrError{Err: "not an address of this family", Addr: host}
		}
		g.host, g.addrs = "", []netip.AddrPort{netip.AddrPortFrom(ip, g.port)}
	}
	return g, nil
}

// lookUp finds the addresses of a name, best first.
func (g *goal) lookUp(ctx context.Context) ([]netip.AddrPort, error) {
	ips, err := net.DefaultResolver.LookupNetIP(ctx, g.network, g.host)
	addrs := make([]netip.AddrPort, 0, len(ips))
	for _, ip := range ips {
		addrs = append(addrs, netip.AddrPortFrom(ip.Unmap(), g.port))
	}
	return addrs, err
}

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
	cancel context.CancelFunc
}

const (
	firstPause = 50 * time.Millisecond
	longPause  = time.Second
	leastTry   = 2 * time.Second // for one of several addresses, as package net does it

	untilItPasses = 10 * time.Millisecond
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
	ctx, cancel := context.WithCancel(context.Background())
	d.cancel, d.until = cancel, d.giveUp
	l.schedule(k, d.until)
	go l.lookUp(ctx, k, k.who(clientEnd).use)
}

// lookUp runs beside the loop and hands it what it found.
func (l *loop) lookUp(ctx context.Context, k *link, use int32) {
	addrs, err := l.r.lookUp(ctx)
	l.post(func(l *loop) {
		if k.use != use || k.dial == nil || ctx.Err() != nil {
			return // the client went away meanwhile, or waited too long
		}
		k.dial.cancel()
		k.dial.cancel = nil
		k.dial.addrs, k.dial.next, k.dial.left, k.dial.err = addrs, 0, len(addrs), err
		l.tryNext(k)
	})
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
			l.putOff(k, untilItPasses)
			return
		}
		d.err = err
		l.hangUp(k, targetEnd)
		d.next++
	}
	l.roundFailed(k)
}

// passes tells whether an error will pass by itself, while nothing tells when: the backlog
// of a Unix socket is full, or the descriptors have run out.
func passes(err error) bool {
	return errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EMFILE) || errors.Is(err, unix.ENFILE)
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
	if err == nil {
		l.connected(k)
		return
	}
	l.nextAfter(k, os.NewSyscallError("connect", err))
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
		if d.left > 0 {
			l.tryNext(k)
		} else {
			l.round(k)
		}
		return 0 // whoever waits has scheduled it
	case d.until > 0 && l.now >= d.until && d.cancel != nil:
		d.cancel()
		d.cancel, d.err = nil, &net.DNSError{Err: "no answer in the time allowed", Name: l.r.goal.host, IsTimeout: true}
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
