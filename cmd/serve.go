package cmd

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/zcp-go/zcp/transfer"
)

// descriptorsEach is what one connection of -k may hold: its socket, its file, a
// borrowed pipe and the pipe that wakes its wait.
const descriptorsEach = 6

// A server runs one transfer for each connection, many at once, until it is told to stop.
type server struct {
	m     *meeting
	out   *Printer
	slots chan struct{} // one is taken by each running connection
	wg    sync.WaitGroup
	log   serverLog

	// handle runs one transfer. It calls begun as soon as there is something to tell of it.
	handle func(ctx context.Context, conn *transfer.Conn, begun func(*session)) *session
}

// serveSend sends the sources to everyone who connects.
func serveSend(ctx context.Context, out *Printer, c *SendConfig) error {
	if err := checkSources(c.Sources); err != nil {
		return err
	}
	m := &meeting{op: c.Net, net: c.Network, out: out}
	if err := m.prepare(ctx); err != nil {
		return err
	}
	defer m.close()
	for _, op := range c.Sources {
		if op.Kind == FD {
			return usagef("%s: -k opens its source once for each client, so it has to be a file", op)
		}
	}
	if m.ln == nil {
		return usagef("-k serves whoever connects, but %s connects itself", m.op)
	}
	s := &server{m: m, out: out, handle: func(ctx context.Context, conn *transfer.Conn, begun func(*session)) *session {
		s := newSendSession(out, c)
		s.serving = true
		begun(s)
		s.err = s.send(ctx, conn, c)
		return s
	}}
	return s.serve(ctx)
}

// serveRecv writes each connection to a file of its own, named by counting.
func serveRecv(ctx context.Context, out *Printer, c *RecvConfig) error {
	m := &meeting{op: c.Net, net: c.Network, out: out}
	if err := m.prepare(ctx); err != nil {
		return err
	}
	defer m.close()
	if m.ln == nil {
		return usagef("-k serves whoever connects, but %s connects itself", m.op)
	}
	names := counter{pattern: c.Dest}
	s := &server{m: m, out: out, handle: func(ctx context.Context, conn *transfer.Conn, begun func(*session)) *session {
		op, plan, err := names.next(c.Output)
		s := newRecvSession(out, c, op)
		s.serving = true
		begun(s)
		if err != nil {
			conn.Close()
			s.err = err
			return s
		}
		s.err = s.recv(ctx, conn, plan)
		return s
	}}
	return s.serve(ctx)
}

// serve accepts until ctx ends, waits for what runs, and returns why it ended.
func (s *server) serve(ctx context.Context) error {
	s.slots = make(chan struct{}, maxConns(s.m.net.MaxConns))
	s.log.started = time.Now()
	defer s.out.whenAsked(func() { s.log.status(s.out, cap(s.slots)) })()
	sayMost(s.out, s.m.op, s.m.net.MaxConns, cap(s.slots))
	told := s.m.ln.Refused
	s.m.ln.Refused = func(peer string) {
		s.log.denied()
		told(peer)
	}
	defer s.wg.Wait()
	var trouble backOff
	for {
		select {
		case s.slots <- struct{}{}:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		conn, err := s.m.accept(ctx)
		switch {
		case err == nil:
			trouble.reset()
			s.wg.Add(1)
			go s.serveOne(ctx, conn, s.log.open(nameOf(conn, s.m.op)))
			continue
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case !outOfDescriptors(err):
			return s.m.failure(err)
		}
		<-s.slots
		if trouble.say() {
			s.out.Emit(&Trouble{Error: fmt.Sprintf("%s: cannot accept: %v", s.m.op, innermost(err)), Status: StatusFailed})
		}
		if !trouble.wait(ctx) {
			return context.Cause(ctx)
		}
	}
}

func (s *server) serveOne(ctx context.Context, conn *transfer.Conn, k *serverConn) {
	defer s.wg.Done()
	defer func() { <-s.slots }()
	s.out.Emit(&Open{ID: k.id, Peer: k.peer, Target: s.m.op.Text})
	done := s.handle(ctx, conn, func(t *session) { s.log.begun(k, t) })
	s.log.close(k)
	reason := "done"
	if done.err != nil {
		reason = done.err.Error()
	}
	e := &Close{ID: k.id, Peer: k.peer, Target: k.target(), Seconds: time.Since(k.since).Seconds(), Reason: reason}
	e.UpBytes, e.DownBytes = k.bytes()
	s.out.Emit(e)
	if done.err != nil && ctx.Err() == nil && !s.out.JSON {
		s.out.Error(fmt.Errorf("%s: %w", Quote(k.peer), done.err))
	}
}

// maxConns is how many connections run at once: what was asked for, if the descriptor
// limit allows it (the runtime has raised the soft limit to the hard one).
func maxConns(asked int) int {
	most := 100
	if lim := (unix.Rlimit{}); unix.Getrlimit(unix.RLIMIT_NOFILE, &lim) == nil {
		most = int(max(1, (min(lim.Cur, 1<<20)-16)/descriptorsEach))
	}
	if asked > 0 {
		return min(asked, most)
	}
	return most
}

// sayMost says that there will be fewer connections at once than were asked for.
func sayMost(out *Printer, at Operand, asked, most int) {
	if most < asked {
		out.Say("%s: at most %s connections at once, not %s: the limit of open files allows no more (ulimit -n)", at, grouped(int64(most)), grouped(int64(asked)))
	}
}

func outOfDescriptors(err error) bool {
	return errors.Is(err, unix.EMFILE) || errors.Is(err, unix.ENFILE) || errors.Is(err, unix.ENOBUFS) || errors.Is(err, unix.ENOMEM)
}

// A backOff waits longer each time something fails that is worth trying again, and
// keeps the complaints to one a second.
type backOff struct {
	pause time.Duration
	said  time.Time
}

func (b *backOff) reset() { b.pause = 0 }

func (b *backOff) say() bool {
	if time.Since(b.said) < time.Second {
		return false
	}
	b.said = time.Now()
	return true
}

func (b *backOff) wait(ctx context.Context) bool {
	b.pause = min(max(2*b.pause, 5*time.Millisecond), time.Second)
	select {
	case <-time.After(b.pause):
		return true
	case <-ctx.Done():
		return false
	}
}

// A counter gives each connection a name of its own: %d counts from 1 and skips what exists.
type counter struct {
	mu      sync.Mutex
	pattern Operand
	n       int
}

func (c *counter) next(out Output) (Operand, *destPlan, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	out.NoClobber = true // whatever took the name meanwhile is not replaced
	for {
		c.n++
		op := c.pattern
		op.Path = strings.Replace(op.Path, "%d", strconv.Itoa(c.n), 1)
		op.Text = op.Path
		plan, err := planDest(op, out, false)
		if errors.Is(err, unix.EEXIST) || errors.Is(err, errTaken) {
			continue
		}
		return op, plan, err
	}
}
