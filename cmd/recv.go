package cmd

import (
	"context"
	"errors"
	"fmt"

	"github.com/zcp-go/zcp/transfer"
)

// runRecv moves what one peer sends to a file or stdout.
func runRecv(ctx context.Context, out *Printer, c *RecvConfig) error {
	if c.KeepOpen {
		return serveRecv(ctx, out, c)
	}
	s := newRecvSession(out, c, c.Dest)
	s.watch(c.Dest.onTerminal())
	plan, err := planDest(c.Dest, c.Output, false)
	if err != nil {
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
	return s.recv(ctx, conn, plan)
}

func newRecvSession(out *Printer, c *RecvConfig, dst Operand) *session {
	s := newSession(out, c.Display, c.Transfer, c.Length, c.Idle)
	s.from, s.to, s.net, s.pulling = c.Net.String(), dst.String(), c.Net, true
	s.toStdout = isStdout(dst)
	return s
}

// recv moves everything from a connection to where it was planned. The order of the end
// makes a zcp sender's good news true: the peer's end seen, the last byte written, DST
// complete under its name, and only then the connection closed in order. Every failure
// before that closes it armed, and the sender learns of it.
func (s *session) recv(ctx context.Context, conn *transfer.Conn, plan *destPlan) error {
	s.peer = conn
	s.phase.Store(int32(Opening))
	d, err := plan.open(ctx, func(ctx context.Context) error { return s.t.Attend(ctx, conn.Endpoint, transfer.Destination) })
	if err != nil {
		if ctx.Err() == nil && !ofTransfer(err) { // nothing has moved: that is not said in bytes
			err = &Failure{Err: err, Status: ExitStatus(err), Hint: hintOf(err)}
		}
		err = s.endFailed(err)
		conn.Close()
		return err
	}
	s.begin()
	defer s.stop(false)
	if err := s.recvInto(ctx, conn, d, plan); err != nil {
		s.kept = d.abandon()
		err = s.endFailed(err)
		conn.Close()
		return err
	}
	if plan.out.Sync {
		s.phase.Store(int32(Storing))
	}
	if err := d.commit(); err != nil {
		s.kept = d.abandon()
		err = s.endFailed(&transfer.Error{Side: transfer.Destination, Err: err})
		conn.Close()
		return err
	}
	err = s.closeOrderly(conn)
	s.end("received", "from "+s.peerName(), "", ForMost, err)
	return err
}

func (s *session) recvInto(ctx context.Context, conn *transfer.Conn, d *dest, plan *destPlan) error {
	if err := refuseBinary(ctx, s, conn, d); err != nil {
		return err
	}
	if _, err := s.t.Move(ctx, d.end, conn.Endpoint, s.left()); err != nil {
		return err
	}
	if err := s.complete(s.peerName()); err != nil {
		return err
	}
	if s.t.Stats.Bytes.Load() == 0 && plan.keepsOld() && s.length.Size != 0 {
		return &Failure{Status: StatusIncomplete,
			Err:  fmt.Errorf("%s: nothing arrived from %s; what it held is kept", s.to, s.peerName()),
			Hint: "an empty file replaces it with -s 0"}
	}
	return nil
}

// refuseBinary keeps what would act on a terminal off it: a first block that holds a
// zero byte is no text.
func refuseBinary(ctx context.Context, s *session, conn *transfer.Conn, d *dest) error {
	if d.end.Kind() != transfer.Terminal {
		return nil
	}
	s.t.NoSplice = true
	binary, err := s.t.PeekBinary(ctx, conn.Endpoint)
	if err != nil || !binary {
		return err
	}
	return &Failure{Err: errors.New(s.from + ": binary data, and standard output is a terminal"),
		Hint: "zcp recv ... > /dev/tty if you mean it"}
}
