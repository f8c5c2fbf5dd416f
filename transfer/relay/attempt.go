package relay

import (
	"net"
	"net/netip"
	"os"

	"golang.org/x/sys/unix"

	"github.com/zcp-go/zcp/transfer"
	"github.com/zcp-go/zcp/transfer/internal/sock"
)

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

// CheckAsClient returns an error where this process may not connect from addresses that are not the host's: it takes
// CAP_NET_ADMIN or CAP_NET_RAW in the network's user namespace (IP_TRANSPARENT, ip(7)).
func CheckAsClient() error {
	fd, err := sock.Stream(unix.AF_INET)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return sock.BindTransparent(fd, netip.AddrFrom4([4]byte{192, 0, 2, 1})) // TEST-NET-1, RFC 5737
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

// selfConnected reports whether a socket has connected to itself. Only a port that the kernel hands
// out, or the source port that was asked for, can be its own.
func (r *Relay) selfConnected(fd int, to netip.AddrPort) bool {
	return (to.Port() >= r.ephemeralMin || to.Port() == r.bind.Port()) && sock.SelfConnected(fd, to)
}
