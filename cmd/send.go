package cmd

import (
	"context"

	"github.com/zcp-go/zcp/transfer"
)

// runSend moves files or stdin to one peer (or to every client with -k) and waits until
// the peer has acknowledged everything.
func runSend(ctx context.Context, out *Printer, c *SendConfig) error {
	if c.KeepOpen {
		return serveSend(ctx, out, c)
	}
	s := newSendSession(out, c)
	s.watch(false)
	if err := checkSources(c.Sources); err != nil {
		return s.refused(err)
	}
	m := &meeting{op: c.Net, net: c.Network, out: out}
	if err := m.prepare(ctx); err != nil {
		return s.refused(err)
	}
	defer m.close()
	conn, err := m.connect(ctx)
	if err != nil {
		return s.endFailed(err)
	}
	return s.send(ctx, conn, c)
}

func newSendSession(out *Printer, c *SendConfig) *session {
	s := newSession(out, c.Display, c.Transfer, c.Length, c.Idle)
	s.from, s.to, s.net, s.sending = sourceNames(c.Sources), c.Net.String(), c.Net, true
	s.t.Discard = true
	if size := sourceSize(c.Sources); s.total < 0 || size >= 0 && size < s.total && !c.StopAtSize {
		s.total = size
	}
	return s
}

// sourceNames is how several sources are called in one line.
func sourceNames(ops []Operand) string {
	switch len(ops) {
	case 1:
		return ops[0].String()
	case 2:
		return ops[0].String() + " and " + ops[1].String()
	}
	return ops[0].String() + " and " + grouped(int64(len(ops)-1)) + " more"
}

// send moves everything to a connection and ends it. On any failure the connection is
// closed armed, so that the peer cannot take a part for the whole.
func (s *session) send(ctx context.Context, conn *transfer.Conn, c *SendConfig) (err error) {
	s.peer = conn
	where := "to " + s.peerName()
	s.begin()
	defer s.stop(false)
	var sources []*transfer.Endpoint
	defer func() {
		for _, e := range sources {
			e.Close()
		}
	}()
	for _, op := range c.Sources {
		if s.left() == 0 {
			break // what is not wanted is not opened: a FIFO would wait for its writer
		}
		var e *transfer.Endpoint
		if e, err = s.sendOne(ctx, conn, op); e != nil {
			sources = append(sources, e)
		}
		if err != nil {
			break
		}
	}
	if err == nil {
		err = s.complete(s.from)
	}
	var how transfer.Delivery
	if err == nil {
		s.phase.Store(int32(Closing))
		how, err = s.t.Finish(ctx, conn, c.Linger)
	}
	s.tcp, _ = conn.TCPInfo()
	if err != nil {
		err = s.endFailed(err)
		conn.Close()
		return err
	}
	s.stop(true) // it asks the connection what was acknowledged
	err = s.closeOrderly(conn)
	for i, e := range sources {
		changed := sourceChanged(s.out, e, c.Sources[i].String())
		if err == nil {
			err = changed
		} else {
			s.out.Error(changed)
		}
	}
	if n := s.t.Stats.Dropped.Load(); n > 0 {
		s.out.Detail("%s sent %s back, which was dropped", s.peerName(), FormatSize(n))
	}
	s.end("sent", where, deliveryNote[how], ForMost, err)
	return err
}

// sendOne moves one source. The endpoint stays open until the peer has closed: until
// then its pages may be in use.
func (s *session) sendOne(ctx context.Context, conn *transfer.Conn, op Operand) (*transfer.Endpoint, error) {
	e, err := s.open(ctx, op, func(ctx context.Context) error { return s.t.Attend(ctx, conn.Endpoint, transfer.Source) })
	if err != nil {
		return nil, err
	}
	if conn.SameFile(e) {
		return e, refuseSame(e, conn.Endpoint, op)
	}
	size, limit := e.Size(), s.left()
	n, err := s.t.Move(ctx, conn.Endpoint, e, limit)
	if err == nil && e.Kind() == transfer.File {
		err = shrunk(size, n, limit, op.String())
	}
	return e, err
}

var deliveryNote = [...]string{
	transfer.PeerClosed:      "",
	transfer.PeerClosedEarly: "acknowledged; the peer had closed its side early",
	transfer.PeerStayedOpen:  "acknowledged; the peer kept its side open",
}
