package cmd

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/zcp-go/zcp/transfer"
)

// A meeting is how one connection comes to be.
type meeting struct {
	op  Operand
	net Network
	out *Printer
	ln  *transfer.Listener // nil where we connect
}

// family returns the network as package net calls it.
func family(op Operand, n Network) string {
	if op.Network == "tcp" && n.Family != 0 {
		return "tcp" + strconv.Itoa(n.Family)
	}
	return op.Network
}

// address returns where to connect or listen as package net reads it.
func address(op Operand) string {
	switch {
	case op.Kind == TCP:
		return net.JoinHostPort(op.Host, op.Port)
	case op.Abstract():
		return "@" + op.Name
	}
	return op.Path
}

// prepare listens where the operand says so, and says where.
func (m *meeting) prepare(ctx context.Context) error {
	var err error
	switch {
	case m.op.Kind == SD || m.op.Kind == FD:
		err = m.adopt()
	case m.op.Listen:
		m.ln, err = transfer.Listen(ctx, family(m.op, m.net), address(m.op))
	}
	if err != nil {
		return m.failure(err)
	}
	if m.ln == nil {
		if len(m.net.Allow)+len(m.net.Deny) > 0 {
			return usagef("--allow and --deny are for a listener, %s connects", m.op)
		}
		return nil
	}
	m.ln.Gate = transfer.Gate{Allow: m.net.Allow, Deny: m.net.Deny}
	m.ln.Idle = m.net.Idle
	m.ln.Refused = func(peer string) { m.out.Detail("%s may not connect: reset", peer) }
	addr, port := splitAddr(m.ln.Addr())
	m.out.Emit(&Listening{Addr: addr, Port: port, Picked: m.op.Kind == TCP && m.op.Port == "0"})
	return nil
}

// adopt takes an inherited socket that listens; one that is connected is taken later.
func (m *meeting) adopt() error {
	fd, err := m.inherited()
	if err != nil {
		return err
	}
	if transfer.Listening(fd) {
		m.ln, err = transfer.InheritListener(fd)
	}
	return err
}

// inherited returns the descriptor of fd:N or sd:NAME.
func (m *meeting) inherited() (int, error) {
	if m.op.Kind == FD {
		return inherited(m.op)
	}
	return activationFD(m.op.Name)
}

// activationFD finds the first socket that systemd passed by that name, or at all.
func activationFD(name string) (int, error) {
	fds, err := activationFDs(name)
	if err != nil {
		return 0, err
	}
	return fds[0], nil
}

// activationFDs finds the sockets that systemd passed: LISTEN_FDS of them from
// descriptor 3 on, for the process LISTEN_PID, named by LISTEN_FDNAMES (sd_listen_fds(3)).
func activationFDs(name string) ([]int, error) {
	if pid := os.Getenv("LISTEN_PID"); pid != "" && pid != strconv.Itoa(os.Getpid()) {
		return nil, fmt.Errorf("the sockets of LISTEN_FDS are for process %s", Quote(pid))
	}
	n, err := strconv.Atoi(os.Getenv("LISTEN_FDS"))
	if err != nil || n < 1 {
		return nil, errors.New("no socket was passed (LISTEN_FDS is not set)")
	}
	var fds []int
	names := strings.Split(os.Getenv("LISTEN_FDNAMES"), ":")
	for i := range n {
		if name == "" || i < len(names) && names[i] == name {
			unix.CloseOnExec(3 + i)
			fds = append(fds, 3+i)
		}
	}
	if len(fds) == 0 {
		return nil, fmt.Errorf("no socket called %s was passed (there are: %s)", Quote(name), Quote(os.Getenv("LISTEN_FDNAMES")))
	}
	return fds, nil
}

// connect returns the connection: the one asked for, or the first that is let in. A
// listener for one connection is closed then.
func (m *meeting) connect(ctx context.Context) (*transfer.Conn, error) {
	c, err := m.meet(ctx)
	if err != nil {
		if ctx.Err() != nil && context.Cause(ctx) == err {
			return nil, err
		}
		return nil, m.failure(err)
	}
	return c, nil
}

func (m *meeting) meet(ctx context.Context) (*transfer.Conn, error) {
	switch {
	case m.ln != nil:
		defer m.close()
		return m.accept(ctx)
	case m.op.Kind == FD || m.op.Kind == SD:
		fd, err := m.inherited()
		if err != nil {
			return nil, err
		}
		return transfer.Inherited(fd, isStdio(fd))
	}
	d := transfer.Dialer{Wait: m.net.Wait, RetryFor: m.net.RetryFor, Idle: m.net.Idle, Bind: bindText(m.net)}
	return d.Dial(ctx, family(m.op, m.net), address(m.op))
}

func (m *meeting) accept(ctx context.Context) (*transfer.Conn, error) {
	if m.net.Wait <= 0 {
		return m.ln.Accept(ctx)
	}
	wait, cancel := context.WithTimeoutCause(ctx, m.net.Wait, errNobody)
	defer cancel()
	return m.ln.Accept(wait)
}

func (m *meeting) close() {
	if m.ln != nil {
		m.ln.Close()
		m.ln = nil
	}
}

var errNobody = &Failure{Err: errors.New("nobody connected in time"), Status: StatusTimeout}

func bindText(n Network) string {
	switch {
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

func splitAddr(a net.Addr) (text string, port int) {
	if t, ok := a.(*net.TCPAddr); ok {
		return t.String(), t.Port
	}
	return Quote("unix:" + a.String()), 0
}

// failure puts an error of connecting or listening in the user's words: the operand,
// what happened, and the status that tells silence (5) from a refusal (1).
func (m *meeting) failure(err error) error {
	var dns *net.DNSError
	var timeout interface{ Timeout() bool }
	f := &Failure{Status: ExitStatus(err)}
	switch {
	case errors.As(err, &dns) && dns.IsNotFound:
		f.Err = fmt.Errorf("%s: no such host", m.op)
		if strings.Contains(dns.Err, "unknown port") {
			f.Err = fmt.Errorf("%s: no such service", m.op)
		}
	case errors.Is(err, unix.ETIMEDOUT), errors.As(err, &timeout) && timeout.Timeout(), errors.Is(err, context.DeadlineExceeded):
		f.Status, f.Err = StatusTimeout, fmt.Errorf("%s: no answer within %s", m.op, FormatDuration(m.patience()))
	case errors.Is(err, unix.ECONNRESET), errors.Is(err, unix.EPIPE): // somebody was there, and broke off before we knew
		f.Status, f.Err = StatusIncomplete, fmt.Errorf("%s: %w", m.op, unix.ECONNRESET)
	case errors.Is(err, unix.EACCES) && m.op.Listen:
		f.Err, f.Hint = fmt.Errorf("%s: %w", m.op, unix.EACCES), "ports below 1024 are for root (or CAP_NET_BIND_SERVICE)"
	default:
		f.Err = fmt.Errorf("%s: %w", m.op, innermost(err))
	}
	return f
}

func (m *meeting) patience() time.Duration {
	if m.net.Wait > 0 {
		return max(m.net.Wait, m.net.RetryFor)
	}
	return 2 * time.Minute // the kernel's own, tcp_syn_retries
}

// innermost strips "dial tcp 127.0.0.1:9: connect:" and the like from an error.
func innermost(err error) error {
	var op *net.OpError
	var addr *net.AddrError
	if errors.As(err, &addr) {
		return errors.New(addr.Err)
	}
	if errors.As(err, &op) {
		return innermost(op.Err)
	}
	return plain(err)
}
