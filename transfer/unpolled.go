package transfer

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"strconv"
	"syscall"

	"github.com/zcp-go/zcp/transfer/internal/sock"
)

// ListenUnpolled is Listen for a driver that takes the socket: the Listener is good for Take and Close, and does
// not accept. A TCP socket stays out of the runtime's poller and has no keepalive, which the driver sets for those
// connections that last. Of 18 system calls 8 are left, the driver's two epoll_ctl included, which is what a range
// of 5,000 ports is opened by (TestRangeCalls).
func ListenUnpolled(ctx context.Context, network, address string) (*Listener, error) {
	if at, both, ok := literal(network, address); ok {
		if fd, err := sock.ListenTCP(at, both); err == nil {
			return &Listener{ln: &unpolled{fd, net.TCPAddrFromAddrPort(at)}, restore: func() {}}, nil
		}
		// Listen knows hosts without IPv6, and package net's words for an error.
	}
	return Listen(ctx, network, address)
}

// literal reads an address to listen on that nothing has to be asked for: not a name, not a port that the kernel
// chooses. both tells an address of both IP versions.
func literal(network, address string) (at netip.AddrPort, both, ok bool) {
	host, service, err := net.SplitHostPort(address)
	if err != nil || network == "unix" {
		return at, false, false
	}
	port, err := strconv.ParseUint(service, 10, 16)
	if err != nil || port == 0 {
		return at, false, false
	}
	ip := netip.IPv6Unspecified()
	switch {
	case host != "":
		ip, err = netip.ParseAddr(host)
		ip = ip.Unmap()
	case network == "tcp4":
		ip = netip.IPv4Unspecified()
	}
	if err != nil || network == "tcp4" && ip.Is6() || network == "tcp6" && ip.Is4() {
		return at, false, false
	}
	return netip.AddrPortFrom(ip, uint16(port)), host == "" && network == "tcp", true
}

// unpolled is a listening TCP socket outside the runtime's poller.
type unpolled struct {
	fd   int // below 0: closed or given away
	addr *net.TCPAddr
}

func (u *unpolled) Accept() (net.Conn, error) { return nil, errors.ErrUnsupported }

func (u *unpolled) Addr() net.Addr { return u.addr }

func (u *unpolled) Close() error {
	if u.fd < 0 {
		return os.ErrClosed
	}
	sock.Close(u.give())
	return nil
}

// give gives the socket away.
func (u *unpolled) give() (fd int) {
	fd, u.fd = u.fd, -1
	return fd
}

// SyscallConn is as package net's listeners have it.
func (u *unpolled) SyscallConn() (syscall.RawConn, error) { return u, nil }

// Control calls f with the socket.
func (u *unpolled) Control(f func(fd uintptr)) error {
	if u.fd < 0 {
		return os.ErrClosed
	}
	f(uintptr(u.fd))
	return nil
}

func (u *unpolled) Read(func(fd uintptr) bool) error { return errors.ErrUnsupported }

func (u *unpolled) Write(func(fd uintptr) bool) error { return errors.ErrUnsupported }
