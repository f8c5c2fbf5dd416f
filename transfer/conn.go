package transfer

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/zcp-go/zcp/transfer/internal/sock"
)

// A Conn is a connected stream socket.
//
// A TCP socket that was opened here is armed: it carries SO_LINGER {1, 0} from the
// start, so that if this process dies in any way the peer gets a reset instead of an
// end of file that looks like success. CloseGracefully disarms it; Close does not. Unix
// sockets have no reset, so only the expected size protects there.
type Conn struct {
	*Endpoint
	Local, Remote string // addresses for people; Remote is empty where the peer has no name
	inherited     bool
	armed         bool
	ended         atomic.Bool // our direction was ended
	linger        unix.Linger // what an inherited socket had
	replaced      string      // see Congestion
}

// arm makes every close but CloseGracefully a reset.
func (c *Conn) arm() error {
	if c.kind != TCP {
		return nil
	}
	if c.inherited {
		old, err := sock.GetLinger(c.fd)
		if err != nil {
			return err
		}
		c.linger = old
	}
	err := sock.Arm(c.fd)
	c.armed = err == nil
	return err
}

func (c *Conn) disarm() error {
	if !c.armed {
		return nil
	}
	c.armed = false
	return sock.Disarm(c.fd, c.linger)
}

// CloseGracefully ends a connection on which all bytes were moved: the peer reads an end of
// file. It returns the error of setsockopt(2) or close(2).
func (c *Conn) CloseGracefully() error {
	if err := c.disarm(); err != nil {
		return err
	}
	if c.inherited {
		// Others may hold the socket, so closing it ends nothing. An error says that it ended already.
		_ = unix.Shutdown(c.fd, unix.SHUT_RDWR)
	}
	return c.Endpoint.Close()
}

// Close breaks the connection off: a TCP peer gets a reset. An inherited socket, which
// others may hold open, is reset by disconnecting it (connect(2) to AF_UNSPEC), and gets the SO_LINGER back
// that it came with; one that is standard input or output is left to its other holders.
func (c *Conn) Close() error {
	if c.inherited && c.armed {
		sock.Disconnect(c.fd)
		// Not reported: the connection is reset already and the descriptor is closed next.
		_ = c.disarm()
	}
	return c.Endpoint.Close()
}

// Unacked is like Endpoint.Unacked, without the one that SIOCOUTQ counts for our FIN. It
// may be called while the connection is in use.
func (c *Conn) Unacked() (int64, error) {
	n, err := c.Endpoint.Unacked()
	if c.kind == TCP && n > 0 && c.ended.Load() {
		n-- // the FIN is the last to be acknowledged
	}
	return n, err
}

// Inherited returns a connection for a connected socket that the process was born
// with. Unless shared says that it is also standard input or output, it is armed, and a peer
// on this host is not paced: both are options of the socket that its other holders would see.
func Inherited(fd int, shared bool) (*Conn, error) {
	e, err := Inherit(fd)
	if err != nil {
		return nil, err
	}
	if !e.kind.Socket() {
		return nil, unix.ENOTSOCK
	}
	c := &Conn{Endpoint: e, inherited: true}
	c.name()
	if shared {
		return c, nil
	}
	if err := c.control(""); err != nil {
		return c, err
	}
	return c, c.arm()
}

func (c *Conn) name() {
	if sa, err := unix.Getsockname(c.fd); err == nil {
		c.Local = sock.Text(sa)
	}
	if sa, err := unix.Getpeername(c.fd); err == nil {
		c.Remote = sock.Text(sa)
	}
}

// A Dialer says how to connect. The zero value connects over either IP version.
type Dialer struct {
	Bind     string        // local ADDR or ADDR:PORT
	Wait     time.Duration // for lookup and all addresses together; 0: no limit but the kernel's
	RetryFor time.Duration // keep trying this long
	Idle     time.Duration // see Transfer.Idle: also bounds how long sent bytes may stay unacknowledged

	Congestion string // congestion control; "": the host's, but for a peer on this host none that paces
}

// Dial connects to "tcp", "tcp4" or "tcp6" HOST:PORT or to a "unix" path ('@' first: abstract).
func (d *Dialer) Dial(ctx context.Context, network, address string) (*Conn, error) {
	until := time.Now().Add(d.RetryFor)
	for pause := 50 * time.Millisecond; ; pause = min(2*pause, time.Second) {
		c, err := d.dialOnce(ctx, network, address)
		left := time.Until(until)
		if err == nil || ctx.Err() != nil || left <= 0 || !WorthRetrying(err) {
			return c, err
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-time.After(min(pause, left)):
		}
	}
}

// WorthRetrying tells for a driver what may pass by itself: a name that does not exist will not.
func WorthRetrying(err error) bool {
	var dns *net.DNSError
	if errors.As(err, &dns) {
		return dns.IsTemporary || dns.IsTimeout
	}
	var addr *net.AddrError
	return !errors.As(err, &addr)
}

func (d *Dialer) dialOnce(ctx context.Context, network, address string) (*Conn, error) {
	nd := net.Dialer{Timeout: d.Wait, KeepAliveConfig: sock.KeepAlive}
	nd.SetMultipathTCP(false)
	if d.Bind != "" && network != "unix" {
		la, err := BindAddr(network, d.Bind)
		if err != nil {
			return nil, err
		}
		nd.LocalAddr = la
	}
	nc, err := nd.DialContext(ctx, network, address)
	if err != nil {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		return nil, err
	}
	return takeOver(nc, d.Idle, d.Congestion)
}

// BindAddr reads an ADDR or ADDR:PORT to connect from.
func BindAddr(network, bind string) (net.Addr, error) {
	if _, _, err := net.SplitHostPort(bind); err != nil {
		bind = net.JoinHostPort(bind, "0")
	}
	return net.ResolveTCPAddr(network, bind)
}

// takeOver takes a socket out of the runtime's poller, which in the bulk path would be
// woken for every segment, and arms it.
func takeOver(nc net.Conn, idle time.Duration, congestion string) (*Conn, error) {
	defer nc.Close()
	rc, err := nc.(syscall.Conn).SyscallConn()
	if err != nil {
		return nil, err
	}
	fd, err := sock.Dup(rc)
	if err != nil {
		return nil, err
	}
	e, err := Own(fd)
	if err != nil {
		return nil, err
	}
	c := &Conn{Endpoint: e}
	c.name()
	if a, ok := nc.RemoteAddr().(*net.TCPAddr); ok && c.Remote == "" { // reset already: the kernel no longer has the address
		ap := a.AddrPort()
		c.Remote = netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port()).String()
	}
	if err := c.prepare(idle, congestion); err != nil {
		e.Close()
		return nil, err
	}
	return c, nil
}

// prepare sets the options of a socket that was opened here.
func (c *Conn) prepare(idle time.Duration, congestion string) error {
	if idle > 0 && c.kind == TCP {
		if err := sock.SetUserTimeout(c.fd, idle); err != nil {
			return err
		}
	}
	if err := c.control(congestion); err != nil {
		return err
	}
	return c.arm()
}

func (c *Conn) String() string {
	if c.Remote == "" {
		return fmt.Sprintf("fd %d", c.fd)
	}
	return c.Remote
}
