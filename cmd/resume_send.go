package cmd

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/zcp-go/zcp/cmd/conf"
	"github.com/zcp-go/zcp/cmd/exit"
	"github.com/zcp-go/zcp/cmd/files"
	"github.com/zcp-go/zcp/cmd/proof"
	"github.com/zcp-go/zcp/cmd/text"
	"github.com/zcp-go/zcp/transfer"
)

// wantLimit is how long a receiver has to ask for what it lacks. One that is not zcp never does.
const wantLimit = 3 * time.Second

var errNoWant = errors.New("the receiver did not ask where to begin")

// A resumedSend sends what a receiver lacks of a file, on one connection after the other.
type resumedSend struct {
	j     *job
	c     *conf.Send
	src   *transfer.Endpoint // open from the first connection on until the end, and watched all the time
	size  int64              // of the file when it was opened; what comes later is not sent
	asked bool               // a receiver has asked: it is one that goes on
}

// checkRegular refuses a source that has no middle to begin in.
func checkRegular(src conf.Operand) error {
	fi, err := os.Stat(src.Path)
	if err == nil && !fi.Mode().IsRegular() {
		return exit.Usagef("--resume needs a regular file, and %s is not one", src)
	}
	return nil // what cannot be opened says so then
}

// runSendResumed is runSend with --resume.
func runSendResumed(ctx context.Context, j *job, c *conf.Send) error {
	if err := checkRegular(c.Sources[0]); err != nil {
		return j.refused(err)
	}
	h, err := newHealer(ctx, j, c.Network)
	if err != nil {
		return j.refused(err)
	}
	defer h.m.close()
	s := &resumedSend{j: j, c: c}
	defer s.close()
	defer j.stop(false)
	return s.end(h.run(ctx, s.once))
}

// serveResumed sends to one of many connections.
func (j *job) serveResumed(ctx context.Context, conn *transfer.Conn, c *conf.Send) error {
	s := &resumedSend{j: j, c: c}
	defer s.close()
	defer j.stop(false)
	j.d.connect(conn)
	return s.end(s.once(ctx, conn))
}

// open opens the source at the first connection.
func (s *resumedSend) open(ctx context.Context) (err error) {
	if s.src != nil {
		return nil
	}
	if s.src, err = files.OpenSource(ctx, fileName(s.c.Sources[0]), files.Idle); err != nil {
		return err
	}
	s.size = s.src.FileSize()
	s.j.total.Store(s.size)
	s.j.follow(files.At(s.src), func() int64 { return s.size })
	return nil
}

func (s *resumedSend) close() {
	s.j.unfollow()
	if s.src != nil {
		s.src.Close()
	}
}

// once sends on one connection, from where the receiver is, and ends it.
func (s *resumedSend) once(ctx context.Context, conn *transfer.Conn) error {
	j := s.j
	j.heard.again()
	if err := s.open(ctx); err != nil {
		return err
	}
	at, err := s.begin(ctx, conn)
	if err != nil {
		return err
	}
	j.meet(conn)
	if err := s.src.MoveTo(at); err != nil {
		return &transfer.Error{Op: "lseek", Side: transfer.Source, Err: exit.Cause(err)}
	}
	j.d.standAt(at)
	n, err := j.d.t.Move(ctx, conn.Endpoint, s.src, s.size-at)
	if err == nil && n < s.size-at {
		err = &exit.Failure{Status: exit.Changed, Err: fmt.Errorf("%s: became shorter while it was being sent: %s of %s", j.from, text.Size(at+n), text.Size(s.size))}
	}
	if err == nil {
		err = j.complete(j.from)
	}
	linger, heals := s.c.Linger, s.asked && s.c.RetryFor > 0
	if heals {
		linger = max(linger, j.d.t.Idle) // what the kernel there has acknowledged may be lost with the receiver, and is sent again
	}
	if err = j.finish(ctx, conn, linger, err); err != nil {
		if j.proof.verify && j.heard.receipt != nil && j.broke(err) {
			return s.provenBefore(ctx, err)
		}
		return err
	}
	switch { // a receiver that goes on does neither
	case s.asked && j.d.how == transfer.PeerClosedEarly:
		return brokenOff("%s: closed before it had everything", j.pair())
	case heals && j.d.how == transfer.PeerStayedOpen:
		return brokenOff("%s: everything is acknowledged, and the receiver has not closed", j.pair())
	}
	return s.proven(ctx, conn)
}

// proven ends a connection whose receiver has everything.
func (s *resumedSend) proven(ctx context.Context, conn *transfer.Conn) error {
	j := s.j
	if err := j.wholeDigest(ctx, s.size, transfer.Source); err != nil {
		return err
	}
	err := j.verdict()
	failure, ok := errors.AsType[*exit.Failure](err)
	if ok && j.heard.receipt == nil && conn.Kind() == transfer.Unix {
		return brokenError{failure} // a Unix socket has no reset: this is how a receiver that dies looks
	}
	if err != nil {
		return err
	}
	return j.closeOrderly()
}

// provenBefore weighs the receipt of a receiver whose connection broke behind it, by kill -9 perhaps. A right one is said
// when everything is stored, and there may be no receiver any more that could say it again.
func (s *resumedSend) provenBefore(ctx context.Context, broken error) error {
	if s.j.wholeDigest(ctx, s.size, transfer.Source) != nil || s.j.verdict() != nil {
		return broken
	}
	s.j.stop(true)
	return s.j.closeOrderly()
}

// begin learns where the receiver is, answers, and returns where to begin.
func (s *resumedSend) begin(ctx context.Context, conn *transfer.Conn) (at int64, err error) {
	want, ok, err := s.hear(ctx, conn)
	switch {
	case err != nil:
		return 0, err
	case !ok && s.asked:
		return 0, brokenOff("%s: %w again", s.j.peerName(), errNoWant)
	case !ok:
		s.j.out.Say("%s did not ask where to begin, as recv --resume does: sending from the start", s.j.peerName())
		return 0, nil
	}
	s.asked = true
	answer := want.Answer(s.size)
	if err := say(conn, answer); err != nil {
		return 0, &transfer.Error{Op: "write", Side: transfer.Destination, Err: err}
	}
	if want.From > s.size {
		// The receiver says the same, if it gets to read the answer.
		_, _ = s.j.d.t.Finish(ctx, conn, time.Second)
		return 0, &exit.Failure{Status: exit.Incomplete, Hint: "zcp recv without --resume starts over",
			Err: fmt.Errorf("%s: holds %s, and %s already has %s", s.j.from, text.Size(s.size), s.j.peerName(), text.Size(want.From))}
	}
	if want.From > 0 && s.j.breaks == 0 {
		s.j.out.Say("%s has %s of %s, going on from there", s.j.peerName(), text.Size(want.From), text.Size(s.size))
	}
	return answer.From, nil
}

// hear waits for the receiver's line. ok says that it came.
func (s *resumedSend) hear(ctx context.Context, conn *transfer.Conn) (want proof.Want, ok bool, err error) {
	limited, cancel := context.WithTimeoutCause(ctx, wantLimit, errNoWant)
	defer cancel()
	var lines proof.Parser
	b := make([]byte, 4096)
	idle := s.j.d.t.Idle
	s.j.d.t.Idle = 0 // the limit is the one above
	defer func() { s.j.d.t.Idle = idle }()
	for !ok {
		n, err := s.j.d.t.Read(limited, conn.Endpoint, b)
		switch {
		case err == nil && n == 0 && s.c.RetryFor > 0 && s.j.net.Listen:
			return want, false, brokenOff("%s: closed without a word", s.j.peerName()) // a port probe, or a receiver that has died
		case errors.Is(err, errNoWant), err == nil && n == 0:
			return want, false, nil
		case err != nil:
			if side, ok := errors.AsType[*transfer.Error](err); ok {
				side.Side = transfer.Destination // it was read from where the bytes go to
			}
			return want, false, err
		}
		lines.Feed(b[:n], func(l proof.Line) {
			if w, is := l.(proof.Want); is && !ok {
				want, ok = w, true
			}
		})
	}
	return want, true, nil
}

// end says what has become of it.
func (s *resumedSend) end(err error) error {
	j := s.j
	if err != nil {
		err = j.breakOff(err)
		if exit.Status(err) == exit.Unproven { // it may be why
			j.out.Error(sourceChanged(j.out, s.src, j.from))
		}
		return err
	}
	err = sourceChanged(j.out, s.src, j.from)
	j.endSend(err)
	return err
}
