package transfer

import "github.com/zcp-go/zcp/transfer/internal/sock"

// SetDSCP sets the traffic class of a TCP connection, 0 to 63; others have none.
func (c *Conn) SetDSCP(dscp int) error {
	if c.kind != TCP {
		return nil
	}
	return sock.SetDSCP(c.fd, dscp)
}

// SetDSCP sets the traffic class of the connections that a TCP listener accepts from now on.
func (l *Listener) SetDSCP(dscp int) error {
	rc, err := l.raw()
	if err != nil || l.Addr().Network() != "tcp" {
		return err
	}
	if cerr := rc.Control(func(fd uintptr) { err = sock.SetDSCP(int(fd), dscp) }); cerr != nil {
		return cerr
	}
	return err
}
