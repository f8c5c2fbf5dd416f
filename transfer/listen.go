package transfer

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/zcp-go/zcp/transfer/internal/sock"
)

// A Listener waits for connections on a TCP or Unix stream socket.
type Listener struct {
	Gate       Gate
	Congestion string            // see Dialer.Congestion
	Refused    func(peer string) // called with a peer that Gate refused
	ln         net.Listener
	inherited  bool
	restore    func()
}

// Listen opens a listening socket: "tcp" on both IP versions, "tcp4", "tcp6", or "unix",
// where the socket file of a listener that is gone is replaced. It is plain TCP, not MPTCP.
func Listen(ctx context.Context, network, address string) (*Listener, error) {
	ln, err := listen(ctx, network, address, armListener)
	if err != nil {
		return nil, err
	}
	return &Listener{ln: ln, restore: func() {}}, nil
}

// ListenPlain is Listen for connections that are package net's, and that no Gate guards.
func ListenPlain(ctx context.Context, network, address string) (net.Listener, error) {
	return listen(ctx, network, address, nil)
}

// ListenPlainUnix is [ListenPlain] on a Unix socket whose file gets this mode, as by [ListenUnix].
func ListenPlainUnix(ctx context.Context, path string, mode os.FileMode) (net.Listener, error) {
	return listenUnix(ctx, path, mode)
}

func listen(ctx context.Context, network, address string, control func(network, address string, rc syscall.RawConn) error) (net.Listener, error) {
	lc := net.ListenConfig{Control: control}
	lc.SetMultipathTCP(false)
	if network != "unix" {
		var err error
		if network, address, err = onlyAddress(ctx, network, address); err != nil {
			return nil, err
		}
	}
	ln, err := lc.Listen(ctx, network, address)
	if errors.Is(err, unix.EADDRINUSE) && network == "unix" {
		return replaceStale(address, err, func() (net.Listener, error) { return lc.Listen(ctx, network, address) })
	}
	u, ok := ln.(*net.UnixListener)
	if err != nil || !ok || strings.HasPrefix(address, "@") {
		return ln, err
	}
	return ownFileOf(u, address), nil
}

// onlyAddress resolves the host of an address to listen on, IPv4 first as package net has it, and names the
// network of that address: package net takes 0.0.0.0 and [::] for both IP versions.
func onlyAddress(ctx context.Context, network, address string) (string, string, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil || host == "" {
		return network, address, err
	}
	ips, err := sock.LookUp(ctx, strings.Replace(network, "tcp", "ip", 1), host)
	if err != nil {
		return "", "", err
	}
	ip := ips[0]
	if i := slices.IndexFunc(ips, netip.Addr.Is4); i >= 0 {
		ip = ips[i]
	}
	network = "tcp6"
	if ip.Is4() {
		network = "tcp4"
	}
	return network, net.JoinHostPort(ip.String(), port), nil
}

// armListener arms a TCP socket before it listens: what it accepts inherits that, and a client
// that connects at once must not be one that is not armed.
func armListener(network, address string, rc syscall.RawConn) error {
	if network == "unix" {
		return nil
	}
	var err error
	cerr := rc.Control(func(fd uintptr) {
		if err = sock.ArmListener(int(fd)); err == nil {
			at, _ := netip.ParseAddrPort(address) // else it is of no host in particular
			sock.UnpaceListener(int(fd), at.Addr())
		}
	})
	return cmp.Or(cerr, err)
}

// InheritListener listens on a socket that the process was born with. The runtime makes
// it non-blocking, which others that share it see; Close puts that back.
//
// Where it is TCP it is armed as our own are, so that a client that connects from now on is, and Close puts
// that back as well. A socket of another kind is refused by name.
func InheritListener(fd int) (*Listener, error) {
	if err := sock.CheckStream(fd); err != nil {
		return nil, err
	}
	fl, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
	if err != nil {
		return nil, os.NewSyscallError("fcntl", err)
	}
	own, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("fcntl", err)
	}
	f := os.NewFile(uintptr(own), "listener")
	defer f.Close()
	ln, err := net.FileListener(f)
	if err != nil {
		return nil, err
	}
	if u, ok := ln.(*net.UnixListener); ok {
		u.SetUnlinkOnClose(false) // the process that made the file removes it
	}
	disarm := func() {}
	if old, err := sock.GetLinger(fd); err == nil && ln.Addr().Network() == "tcp" {
		if armed, _ := sock.Arm(fd); armed { // an error leaves it to Accept
			disarm = func() { _ = sock.Disarm(fd, old) } // the others that hold it lose nothing by a refusal
		}
	}
	return &Listener{ln: ln, inherited: true, restore: func() {
		disarm()
		if fl&unix.O_NONBLOCK == 0 {
			_ = unix.SetNonblock(fd, false) // nothing can be done about a refusal, nor does it harm us
		}
	}}, nil
}

// ListenerOf takes over a *net.TCPListener or *net.UnixListener that net.Listen has made: the
// Listener closes it, and removes the file of a Unix socket. Clients that are in its queue already
// are not armed.
func ListenerOf(ln net.Listener) (*Listener, error) {
	switch l := ln.(type) {
	case *net.TCPListener:
		rc, err := l.SyscallConn()
		if err != nil {
			return nil, err
		}
		// inherited: what waits in the queue is armed when it is accepted.
		return &Listener{ln: l, inherited: true, restore: func() {}}, armListener("tcp", "", rc)
	case *net.UnixListener:
		path := l.Addr().String()
		if strings.HasPrefix(path, "@") {
			return &Listener{ln: l, restore: func() {}}, nil
		}
		return &Listener{ln: ownFileOf(l, path), restore: func() {}}, nil
	}
	return nil, fmt.Errorf("%T is not a listener of TCP or Unix sockets", ln)
}

// raw gives access to the socket.
func (l *Listener) raw() (syscall.RawConn, error) { return l.ln.(syscall.Conn).SyscallConn() }

// Addr returns the address listened on, [::]:PORT for both IP versions.
func (l *Listener) Addr() net.Addr { return l.ln.Addr() }

// until sets when Accept gives up. It fails only on a closed listener, whose Accept says so.
func (l *Listener) until(t time.Time) {
	if d, ok := l.ln.(interface{ SetDeadline(time.Time) error }); ok {
		_ = d.SetDeadline(t)
	}
}

// Accept waits for a connection that the gate admits. Others are reset before a byte
// of theirs is read. A Listener accepts for one goroutine at a time.
func (l *Listener) Accept(ctx context.Context) (*Conn, error) {
	stop := context.AfterFunc(ctx, func() { l.until(time.Unix(1, 0)) })
	defer stop()
	for {
		nc, err := l.ln.Accept()
		switch {
		case err != nil && ctx.Err() != nil:
			return nil, context.Cause(ctx)
		case errors.Is(err, os.ErrDeadlineExceeded): // what ended an Accept before this one
			l.until(time.Time{})
			if ctx.Err() != nil { // and may have been meant for this one meanwhile
				return nil, context.Cause(ctx)
			}
			continue
		case err != nil:
			return nil, err
		}
		tc, isTCP := nc.(*net.TCPConn)
		if isTCP {
			if ap, err := netip.ParseAddrPort(nc.RemoteAddr().String()); err == nil && !l.Gate.Admits(ap.Addr()) {
				_ = tc.SetLinger(0) // on a socket that is closed in the next line
				nc.Close()
				if l.Refused != nil {
					l.Refused(nc.RemoteAddr().String())
				}
				continue
			}
			// A peer without keepalive is only noticed later when it is gone.
			_ = tc.SetKeepAliveConfig(sock.KeepAlive)
			if l.inherited {
				// What waited before the listener was armed is not. An error is that of a connection that is
				// reset already, or of a system that refuses SO_LINGER.
				_ = tc.SetLinger(0)
			}
		}
		return takeOverWith(nc, l.Congestion)
	}
}

// Close stops listening and removes the socket file of a Unix socket that Listen made.
func (l *Listener) Close() error {
	defer l.restore()
	return l.ln.Close()
}

// Listening tells whether fd is a socket that listens.
func Listening(fd int) bool { return sock.Listening(fd) }

// Take gives the listening socket away, out of the runtime's poller, which would be woken for
// each client beside the driver's own. inherited tells a socket that the process was born with;
// restore is to be called when it is closed. The Listener is closed.
func (l *Listener) Take() (fd int, inherited bool, restore func(), err error) {
	if u, ok := l.ln.(*unpolled); ok {
		return u.give(), false, l.restore, nil
	}
	rc, err := l.raw()
	if err == nil {
		fd, err = sock.Dup(rc)
	}
	if err != nil {
		l.Close()
		return -1, false, nil, err
	}
	if own, ok := l.ln.(*ownFile); ok {
		own.UnixListener.Close() // the file is the driver's to remove now
	} else {
		l.ln.Close()
	}
	return fd, l.inherited, l.restore, nil
}
