package cmd

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/zcp-go/zcp/cmd/conf"
	"github.com/zcp-go/zcp/cmd/exit"
	"github.com/zcp-go/zcp/cmd/files"
	"github.com/zcp-go/zcp/cmd/show"
	"github.com/zcp-go/zcp/cmd/text"
	"github.com/zcp-go/zcp/transfer"
)

// descriptorsEach is what one connection of -k may hold: its socket, its file, a
// borrowed pipe, the pipe that wakes its wait, and what a long wait waits with.
const descriptorsEach = 7

// serverThreads is how many threads all connections of -k together block in system calls.
const serverThreads = 8

// A server runs one job for each connection, many at once, until it is told to stop.
type server struct {
	m       *connector
	out     *show.Printer
	slots   chan struct{} // one is taken by each running connection
	threads *transfer.Threads
	wg      sync.WaitGroup
	log     serverLog

	// newJob makes the job of a connection, and how it is run.
	newJob func() (*job, func(context.Context, *transfer.Conn) error)
}

// serveSend sends the sources to every client.
func serveSend(ctx context.Context, out *show.Printer, c *conf.Send) error {
	for _, op := range c.Sources {
		if op.Kind == conf.FD {
			return exit.Usagef("%s: -k opens its source once for each client, so it has to be a file", op)
		}
	}
	if err := checkSources(c.Sources, c.Tree); err != nil {
		return err
	}
	if c.Resume {
		if err := checkRegular(c.Sources[0]); err != nil {
			return err
		}
	}
	s := &server{m: &connector{op: c.Net, net: c.Network, out: out, there: newSendJob(out, c).typedThere()}, out: out}
	s.newJob = func() (*job, func(context.Context, *transfer.Conn) error) {
		j := newSendJob(out, c)
		if c.Resume {
			return j, func(ctx context.Context, conn *transfer.Conn) error { return j.serveResumed(ctx, conn, c) }
		}
		return j, func(ctx context.Context, conn *transfer.Conn) error { return j.send(ctx, conn, c) }
	}
	return s.serve(ctx)
}

// serveRecv writes each connection to a file of its own, named by counting.
func serveRecv(ctx context.Context, out *show.Printer, c *conf.Recv) error {
	s := &server{m: &connector{op: c.Net, net: c.Network, out: out, there: newRecvJob(out, c, fileName(c.Dest)).typedThere()}, out: out}
	names := files.NameSequence{Pattern: fileName(c.Dest)}
	s.newJob = func() (*job, func(context.Context, *transfer.Conn) error) {
		name, plan, err := names.Next(files.Options(c.Output))
		j := newRecvJob(out, c, name)
		return j, func(ctx context.Context, conn *transfer.Conn) error {
			if err != nil {
				conn.Close()
				return err
			}
			return j.recv(ctx, conn, plan, c.Sync)
		}
	}
	return s.serve(ctx)
}

// serve accepts until ctx ends, waits for what runs, and returns why it ended.
func (s *server) serve(ctx context.Context) error {
	if err := s.m.prepare(ctx); err != nil {
		return err
	}
	defer s.m.close()
	if s.m.ln == nil {
		return exit.Usagef("-k serves every client, but %s connects itself", s.m.op)
	}
	s.slots = make(chan struct{}, maxConns(s.m.net.MaxConns))
	s.threads = transfer.NewThreads(serverThreads)
	s.log.started = time.Now()
	defer s.log.stop()
	defer s.out.WhenAsked(func() { s.log.status(s.out, cap(s.slots)) })()
	sayMost(s.out, s.m.op.String(), s.m.net.MaxConns, cap(s.slots))
	report := s.m.ln.Refused
	s.m.ln.Refused = func(peer string) {
		s.log.denied()
		report(peer)
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
			s.out.Emit(&show.Trouble{Error: fmt.Sprintf("%s: cannot accept: %s", s.m.op, exit.Reason(err, exit.Listening)), Status: exit.Failed})
		}
		if !trouble.wait(ctx) {
			return context.Cause(ctx)
		}
	}
}

func (s *server) serveOne(ctx context.Context, conn *transfer.Conn, k *served) {
	defer s.wg.Done()
	defer func() { <-s.slots }()
	s.out.Emit(&show.Open{ID: k.id, Peer: k.peer, Target: s.m.op.Text})
	j, run := s.newJob()
	j.served = true
	j.d.t.Threads = s.threads
	s.log.begin(k, j)
	err := run(ctx, conn)
	s.log.close(k, err)
	reason := "done"
	if err != nil {
		reason = err.Error()
	}
	e := &show.Served{Moved: j.moved, Fine: err == nil, Note: j.note}
	e.Close = show.Close{ID: k.id, Peer: k.peer, Target: k.target(), Seconds: time.Since(k.since).Seconds(), Reason: reason, Ending: show.EndingOf(err)}
	e.UpBytes, e.DownBytes = k.bytes()
	s.out.Emit(e)
	if err != nil && ctx.Err() == nil && !s.out.JSON {
		s.out.Error(fmt.Errorf("%s: %w", text.Quote(k.peer), err))
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
func sayMost(out *show.Printer, at string, asked, most int) {
	if most < asked {
		out.Say("%s: at most %s connections at once, not %s: the limit of open files allows no more (ulimit -n)", at, text.Grouped(int64(most)), text.Grouped(int64(asked)))
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
