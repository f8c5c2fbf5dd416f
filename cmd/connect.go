package cmd

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/zcp-go/zcp/cmd/conf"
	"github.com/zcp-go/zcp/cmd/exit"
	"github.com/zcp-go/zcp/cmd/files"
	"github.com/zcp-go/zcp/cmd/show"
	"github.com/zcp-go/zcp/cmd/text"
	"github.com/zcp-go/zcp/transfer"
)

// A connector makes connections for one operand: it connects, accepts, or takes over what
// was inherited.
type connector struct {
	op  conf.Operand
	net conf.Network
	out *show.Printer
	ln  *transfer.Listener // nil where it connects

	attempt *atomic.Pointer[show.Attempt] // for the progress line; may be nil
	tried   tries

	there string // what to type at the other end, with %s for the address; may be empty
	stays bool   // the listener outlives its first connection
	taken bool   // a driver takes the listener: it need not accept
}

// tries are the attempts to connect that have failed and were made again.
type tries struct {
	began time.Time
	n     int
	said  string // the last reason that -v has told
}

// family returns the network as package net calls it.
func family(op conf.Operand, n conf.Network) string {
	if op.Network == "tcp" && n.Family != 0 {
		return "tcp" + strconv.Itoa(n.Family)
	}
	return op.Network
}

// address returns where to connect or listen as package net reads it.
func address(op conf.Operand) string {
	switch {
	case op.Kind == conf.TCP:
		return net.JoinHostPort(op.Host, op.Port)
	case op.Abstract():
		return "@" + op.Name
	}
	return op.Path
}

// prepare listens where the operand says so, and says where.
func (c *connector) prepare(ctx context.Context) error {
	var err error
	switch {
	case c.op.Kind == conf.SD || c.op.Kind == conf.FD:
		err = c.adopt()
	case c.op.Listen:
		c.ln, err = c.listen(ctx)
	}
	if err != nil {
		return c.failure(err)
	}
	if c.ln == nil {
		if len(c.net.Allow)+len(c.net.Deny) > 0 {
			return exit.Usagef("--allow and --deny are for a listener, %s connects", c.op)
		}
		return nil
	}
	if err := c.classify([]*transfer.Listener{c.ln}); err != nil {
		return err
	}
	c.ln.Gate = transfer.Gate{Allow: c.net.Allow, Deny: c.net.Deny}
	c.ln.Congestion = c.net.Congestion
	c.ln.Refused = func(peer string) { c.out.Emit(&show.Denied{Peer: peer}) }
	c.announce(c.ln.Addr())
	return nil
}

// listen listens on the operand. -w bounds the lookup of a name.
func (c *connector) listen(ctx context.Context) (*transfer.Listener, error) {
	if c.net.SocketMode != 0 && conf.MakesFile(c.op) {
		return transfer.ListenUnix(ctx, c.op.Path, c.net.SocketMode)
	}
	open := transfer.Listen
	if c.taken {
		open = transfer.ListenUnpolled
	}
	if c.net.Wait > 0 {
		limited, cancel := context.WithTimeout(ctx, c.net.Wait)
		defer cancel()
		ln, err := open(limited, family(c.op, c.net), address(c.op))
		if err != nil && ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return ln, err
	}
	return open(ctx, family(c.op, c.net), address(c.op))
}

// adopt takes an inherited socket that listens; one that is connected is taken later.
func (c *connector) adopt() error {
	fd, err := c.inherited()
	if err != nil {
		return err
	}
	if transfer.Listening(fd) {
		c.ln, err = transfer.InheritListener(fd)
	}
	return err
}

// inherited returns the descriptor of fd:N or sd:NAME.
func (c *connector) inherited() (int, error) {
	if c.op.Kind == conf.FD {
		return c.op.FD, files.Inherited(c.op.FD)
	}
	return activationFD(c.op.Name)
}

// connect returns the connection: the one asked for, or the first that is let in. A
// listener for one connection is closed then.
func (c *connector) connect(ctx context.Context) (*transfer.Conn, error) {
	conn, err := c.open(ctx)
	if err != nil {
		return nil, c.failure(err)
	}
	return conn, nil
}

func (c *connector) open(ctx context.Context) (*transfer.Conn, error) {
	switch {
	case c.ln != nil:
		if !c.stays {
			defer c.close()
		}
		return c.accept(ctx)
	case c.op.Kind == conf.FD || c.op.Kind == conf.SD:
		fd, err := c.inherited()
		if err != nil {
			return nil, err
		}
		return c.take(fd)
	}
	return c.dial(ctx, c.net.RetryFor)
}

// dial connects, and tries for so long.
func (c *connector) dial(ctx context.Context, retry time.Duration) (*transfer.Conn, error) {
	d := transfer.Dialer{Wait: c.net.Wait, RetryFor: retry, Bind: bindText(c.net), Congestion: c.net.Congestion,
		Failed: c.failed, DSCP: c.net.DSCP}
	c.tried = tries{began: time.Now()}
	c.show("")
	return d.Dial(ctx, family(c.op, c.net), address(c.op))
}

// failed notes an attempt that failed and is made again. -v tells each reason once in a row.
func (c *connector) failed(err error) {
	c.tried.n++
	reason := exit.Reason(err, exit.Connecting)
	if reason != c.tried.said {
		c.tried.said = reason
		c.out.Detail("%s: %s, trying again for %s", c.op, reason, text.Duration(time.Until(c.tried.began.Add(c.net.RetryFor))))
	}
	if errors.Is(err, unix.ECONNREFUSED) {
		reason = "refused"
	}
	c.show(reason)
}

// show has the progress line tell how far connecting has come.
func (c *connector) show(reason string) {
	if c.attempt == nil {
		return
	}
	a := &show.Attempt{Target: c.op.String(), Tries: c.tried.n, Reason: reason}
	if limit := max(c.net.Wait, c.net.RetryFor); limit > 0 {
		a.Until = c.tried.began.Add(limit)
	}
	c.attempt.Store(a)
}

// take takes over an inherited connection. What others see of it changes only as was asked for.
func (c *connector) take(fd int) (*transfer.Conn, error) {
	conn, err := transfer.Inherited(fd, isStdio(fd))
	if err != nil {
		return nil, err
	}
	if c.net.DSCP != 0 {
		err = conn.SetDSCP(c.net.DSCP)
	}
	if err == nil && c.net.Congestion != "" {
		err = conn.SetCongestion(c.net.Congestion)
	}
	if err != nil {
		conn.Close()
		return nil, err
	}
	return conn, nil
}

func (c *connector) accept(ctx context.Context) (*transfer.Conn, error) {
	if c.net.Wait <= 0 {
		return c.ln.Accept(ctx)
	}
	late := &exit.Failure{Err: fmt.Errorf("%s: no connection within %s", c.op, text.Duration(c.net.Wait)), Status: exit.TimedOut}
	wait, cancel := context.WithTimeoutCause(ctx, c.net.Wait, late)
	defer cancel()
	return c.ln.Accept(wait)
}

func (c *connector) close() {
	if c.ln != nil {
		c.ln.Close()
		c.ln = nil
	}
}

func bindText(n conf.Network) string {
	switch {
	case !n.Bind.IsValid() && n.Bind.Port() != 0:
		return ":" + strconv.Itoa(int(n.Bind.Port()))
	case !n.Bind.IsValid():
		return ""
	case n.Bind.Port() == 0:
		return net.JoinHostPort(n.Bind.Addr().String(), "0")
	}
	return n.Bind.String()
}

// isStdio tells whether fd is the same open file as standard input or output, whose
// socket options other processes of a pipeline rely on.
func isStdio(fd int) bool {
	var a, b unix.Stat_t
	if unix.Fstat(fd, &a) != nil {
		return false
	}
	for std := range 2 {
		if unix.Fstat(std, &b) == nil && a.Dev == b.Dev && a.Ino == b.Ino {
			return true
		}
	}
	return false
}

// failure puts an error of connecting or listening in the user's words.
func (c *connector) failure(err error) error {
	at := exit.Where{Place: exit.Connecting, Subject: c.op.String(), Patience: max(c.net.Wait, c.net.RetryFor)}
	switch {
	case c.op.Listen || c.ln != nil:
		at.Place = exit.Listening
	case c.net.Wait <= 0:
		at.Patience = 2 * time.Minute // the kernel's own, tcp_syn_retries
	}
	if c.tried.n > 0 {
		at.Patience = c.net.Wait
	}
	err = exit.Classify(err, at)
	if f, ok := err.(*exit.Failure); ok && c.tried.n > 0 {
		f.Err = fmt.Errorf("%w, %d times in %s", f.Err, c.tried.n+1, text.Duration(time.Since(c.tried.began)))
	}
	return err
}
