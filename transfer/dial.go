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

// A Dialer says how to connect. The zero value connects over either IP version.
type Dialer struct {
	Bind     string        // local ADDR, ADDR:PORT or :PORT
	Wait     time.Duration // for lookup and all addresses together; 0: no limit but the kernel's
	RetryFor time.Duration // keep trying this long

	Congestion string // congestion control; "": the host's, but for a peer on this host none that paces

	DSCP   int         // the traffic class of TCP connections, 0 to 63; 0: the system's
	Failed func(error) // called by Dial after each attempt that failed and is made again; may be nil
}

// A SourceError says that Dialer.Bind is what a connection failed by. Err is bind(2)'s errno, or connect(2)'s.
type SourceError struct {
	Addr string
	Err  error
}

func (e *SourceError) Error() string {
	return "source address " + strings.TrimSuffix(e.Addr, ":0") + ": " + e.Err.Error()
}

func (e *SourceError) Unwrap() error { return e.Err }

// Dial connects to "tcp", "tcp4" or "tcp6" HOST:PORT or to a "unix" path ('@' first: abstract). A
// connection of a socket to itself is ECONNREFUSED: nothing listens there.
func (d *Dialer) Dial(ctx context.Context, network, address string) (*Conn, error) {
	until := time.Now().Add(d.RetryFor)
	for pause := 50 * time.Millisecond; ; pause = min(2*pause, time.Second) {
		c, err := d.dialOnce(ctx, network, address)
		left := time.Until(until)
		if err == nil || ctx.Err() != nil || left <= 0 || !WorthRetrying(err) {
			return c, err
		}
		if d.Failed != nil {
			d.Failed(err)
		}
		if err := sleep(ctx, min(pause, left)); err != nil {
			return nil, err
		}
	}
}

// sleep returns the cause of ctx if that ends first.
func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(d):
		return nil
	}
}

// WorthRetrying tells for a driver what may pass by itself. A name that does not exist may do so soon:
// containers get theirs when they start. A service and an address that cannot be read will not.
func WorthRetrying(err error) bool {
	if dns, ok := errors.AsType[*net.DNSError](err); ok {
		return !strings.Contains(dns.Err, "unknown port")
	}
	_, malformed := errors.AsType[*net.AddrError](err)
	return !malformed
}

func (d *Dialer) dialOnce(ctx context.Context, network, address string) (*Conn, error) {
	limited, cancel := ctx, context.CancelFunc(func() {})
	if d.Wait > 0 {
		limited, cancel = context.WithTimeout(ctx, d.Wait)
	}
	defer cancel()
	var c *Conn
	var err error
	if network == "unix" {
		c, err = d.dialUnix(limited, address)
	} else {
		c, err = d.dialTCP(limited, network, address)
	}
	if err != nil && ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	return c, err
}

// dialUnix connects to a Unix socket. A full backlog is EAGAIN at once (connect(2)), and no event
// says when there is room.
func (d *Dialer) dialUnix(ctx context.Context, path string) (*Conn, error) {
	for pause := 10 * time.Millisecond; ; pause = min(2*pause, 200*time.Millisecond) {
		nc, err := new(net.Dialer).DialContext(ctx, "unix", path)
		if err == nil {
			return takeOver(nc)
		}
		if !errors.Is(err, unix.EAGAIN) {
			return nil, err
		}
		if sleep(ctx, pause) != nil {
			return nil, os.NewSyscallError("connect", unix.ETIMEDOUT)
		}
	}
}

// nextAddress is when the next of several addresses is tried as well, while those before it
// have not answered: RFC 8305, 5 (Happy Eyeballs).
const nextAddress = 250 * time.Millisecond

// dialTCP looks the host up and connects to the first of its addresses that answers. Each gets its
// chance within Wait, however many dead ones come before it.
func (d *Dialer) dialTCP(ctx context.Context, network, address string) (*Conn, error) {
	host, service, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	port, err := net.DefaultResolver.LookupPort(ctx, network, service)
	if err != nil {
		return nil, err
	}
	if host == "" {
		host = "localhost"
	}
	ips, err := sock.LookUp(ctx, strings.Replace(network, "tcp", "ip", 1), host)
	if err != nil {
		return nil, err
	}
	if ips, err = d.ofSource(network, ips); err != nil {
		return nil, err
	}
	stagger := nextAddress
	if d.Wait > 0 {
		stagger = min(stagger, d.Wait/time.Duration(len(ips)+1))
	}
	return d.firstOf(ctx, network, ips, uint16(port), stagger)
}

// ofSource keeps the addresses that Bind can reach: those of its family, where there are any.
func (d *Dialer) ofSource(network string, ips []netip.Addr) ([]netip.Addr, error) {
	if d.Bind == "" {
		return ips, nil
	}
	la, err := BindAddr(network, d.Bind)
	if err != nil {
		return nil, err
	}
	if la.(*net.TCPAddr).IP == nil {
		return ips, nil
	}
	is4 := la.(*net.TCPAddr).IP.To4() != nil
	same := slices.DeleteFunc(slices.Clone(ips), func(ip netip.Addr) bool { return ip.Is4() != is4 })
	if len(same) == 0 {
		return nil, &net.AddrError{Err: "no source address of this family", Addr: ips[0].String()}
	}
	return same, nil
}

// firstOf tries addresses at intervals of stagger, or sooner where one has failed. It returns the first
// connection, or the error of the first address, which is the best one.
func (d *Dialer) firstOf(ctx context.Context, network string, ips []netip.Addr, port uint16, stagger time.Duration) (*Conn, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	type result struct {
		i    int
		conn net.Conn
		err  error
	}
	results := make(chan result)
	try := func(i int) {
		nc, err := d.dialAddress(ctx, network, netip.AddrPortFrom(ips[i], port))
		results <- result{i, nc, err}
	}
	errs := make([]error, len(ips))
	var won net.Conn
	next, running := 0, 0
	for won == nil && next < len(ips) || running > 0 {
		if won == nil && next < len(ips) && running == 0 {
			go try(next)
			next, running = next+1, running+1
		}
		var later <-chan time.Time
		if won == nil && next < len(ips) {
			later = time.After(stagger)
		}
		select {
		case r := <-results:
			running--
			errs[r.i] = r.err
			switch {
			case r.err == nil && won == nil:
				won = r.conn
				cancel()
			case r.err == nil:
				r.conn.Close() // it is armed: a reset
			}
		case <-later:
			go try(next)
			next, running = next+1, running+1
		}
	}
	if won == nil {
		return nil, errs[0]
	}
	c, err := takeOver(won)
	if err == nil {
		c.asked = d.Congestion != "" // it has it since before connect
	}
	return c, err
}

// dialAddress connects to one address, with a socket that was armed before.
func (d *Dialer) dialAddress(ctx context.Context, network string, to netip.AddrPort) (net.Conn, error) {
	nd := net.Dialer{KeepAliveConfig: sock.KeepAlive}
	nd.SetMultipathTCP(false)
	sourcePort := false
	if d.Bind != "" {
		la, err := BindAddr(network, d.Bind)
		if err != nil {
			return nil, err
		}
		sourcePort = la.(*net.TCPAddr).Port != 0
		nd.LocalAddr = la
	}
	nd.Control = func(_, _ string, rc syscall.RawConn) error {
		var err error
		cerr := rc.Control(func(fd uintptr) {
			if err = sock.Before(int(fd), sourcePort); err == nil && d.DSCP != 0 {
				err = sock.SetDSCP(int(fd), d.DSCP)
			}
			if err == nil {
				err = control(int(fd), d.Congestion, to.Addr())
			}
		})
		return cmp.Or(cerr, err)
	}
	nc, err := nd.DialContext(ctx, network, to.String())
	if err != nil {
		return nil, d.sourceError(err, sourcePort)
	}
	if l, ok := nc.LocalAddr().(*net.TCPAddr); ok && netip.AddrPortFrom(l.AddrPort().Addr().Unmap(), l.AddrPort().Port()) == to {
		nc.Close()
		return nil, os.NewSyscallError("connect", unix.ECONNREFUSED)
	}
	return nc, nil
}

// sourceError names the source address where that is what failed. A source port that an old connection
// to the same target holds in TIME_WAIT is connect's EADDRNOTAVAIL.
func (d *Dialer) sourceError(err error, sourcePort bool) error {
	call, ok := errors.AsType[*os.SyscallError](err)
	switch {
	case d.Bind == "" || !ok:
		return err
	case call.Syscall == "bind":
		return &SourceError{d.Bind, call.Err}
	case call.Syscall == "connect" && sourcePort && call.Err == unix.EADDRNOTAVAIL:
		return &SourceError{d.Bind, unix.EADDRINUSE}
	}
	return err
}

// BindAddr reads an ADDR, ADDR:PORT or :PORT to connect from; the last has no IP.
func BindAddr(network, bind string) (net.Addr, error) {
	if _, _, err := net.SplitHostPort(bind); err != nil {
		bind = net.JoinHostPort(bind, "0")
	}
	return net.ResolveTCPAddr(network, bind)
}

// ConnOf takes over a connected *net.TCPConn or *net.UnixConn: it is armed from now on, and nc is closed.
func ConnOf(nc net.Conn) (*Conn, error) {
	switch nc.(type) {
	case *net.TCPConn, *net.UnixConn:
		return takeOverWith(nc, "")
	}
	return nil, fmt.Errorf("%T is not a TCP or Unix connection", nc)
}

// takeOver takes a socket out of the runtime's poller, which in the bulk path would be
// woken for every segment, and arms it.
func takeOver(nc net.Conn) (*Conn, error) {
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
	if err = c.arm(); err != nil {
		e.Close()
		return nil, err
	}
	return c, nil
}

// takeOverWith is takeOver of a connection that has no congestion control of ours yet.
func takeOverWith(nc net.Conn, congestion string) (*Conn, error) {
	c, err := takeOver(nc)
	if err != nil {
		return nil, err
	}
	if err = c.control(congestion); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}
