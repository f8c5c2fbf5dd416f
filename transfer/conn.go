package transfer

import (
	"fmt"
	"sync/atomic"

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
	asked         bool        // its congestion control was
}

// arm makes every close but CloseGracefully a reset.
func (c *Conn) arm() error {
	if c.kind != TCP {
		return nil
	}
	if c.inherited {
		old, err := sock.GetLinger(c.fd)
		if err != nil && !sock.Refused(err) {
			return err
		}
		c.linger = old
	}
	var err error
	c.armed, err = sock.Arm(c.fd)
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

// Say sends a line on a connection whose direction is idle: all of it, or it is an error. It does not
// wait, for what is sent first, or now and then, finds room in the socket's buffer. The line counts
// in no Stats. The error is that of sendmsg(2); a buffer that is full is EAGAIN.
func (c *Conn) Say(line []byte) error {
	for len(line) > 0 {
		n, err := c.write(line)
		if err != nil {
			return err
		}
		line = line[n:]
	}
	return nil
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
	if err := sock.CheckStream(fd); err != nil {
		return nil, err
	}
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

func (c *Conn) String() string {
	if c.Remote == "" {
		return fmt.Sprintf("fd %d", c.fd)
	}
	return c.Remote
}
