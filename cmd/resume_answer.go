package cmd

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/zcp-go/zcp/cmd/conf"
	"github.com/zcp-go/zcp/cmd/exit"
	"github.com/zcp-go/zcp/cmd/proof"
	"github.com/zcp-go/zcp/cmd/text"
	"github.com/zcp-go/zcp/transfer"
)

// This file weighs what a sender says to a receiver that resumes: its answer, and the bytes that both have.

// ask says what is wanted and reads what the stream begins with: the sender's line, and what came with it, or
// the first bytes of a plain stream.
func (r *resumedRecv) ask(ctx context.Context, conn *transfer.Conn, want proof.Want) (at proof.At, held []byte, answered bool, err error) {
	if err := say(conn, want); err != nil {
		return at, nil, false, &transfer.Error{Op: "write", Side: transfer.Source, Err: err}
	}
	b := make([]byte, proof.MaxLine)
	for n := 0; ; {
		m, err := r.j.d.t.Read(ctx, conn.Endpoint, b[n:])
		if err != nil {
			return at, nil, false, err
		}
		n += m
		at, rest, more, ok := proof.ReadAt(b[:n])
		switch {
		case ok:
			return at, rest, true, nil
		case n == 0 && r.size >= 0, n == 0 && r.c.RetryFor > 0:
			return at, nil, false, brokenOff("%s: closed without a byte", r.from)
		case more && m == 0 && n >= len(proof.AtPrefix) && r.c.RetryFor > 0:
			return at, nil, false, brokenOff("%s: closed within its first line", r.from)
		case !more || m == 0:
			return at, b[:n], false, nil
		}
	}
}

// check weighs the sender's answer.
func (r *resumedRecv) check(want proof.Want, at proof.At) error {
	over := "zcp recv without --resume starts over"
	expected := want.Answer(at.Size)
	switch {
	case at.Key != want.Key, at.From != expected.From:
		return &exit.Failure{Status: exit.Incomplete, Err: fmt.Errorf("%s: the answer is to another request", r.from)}
	case at.Size < want.From:
		return &exit.Failure{Status: exit.Incomplete, Hint: over,
			Err: fmt.Errorf("%s: the sender's file holds %s, less than what is here", r.from, text.Size(at.Size))}
	case r.size >= 0 && at.Size != r.size:
		return &exit.Failure{Status: exit.Incomplete, Hint: over,
			Err: fmt.Errorf("%s: the sender's file holds %s now, and held %s before the break", r.from, text.Size(at.Size), text.Size(r.size))}
	}
	r.size = at.Size
	r.j.total.Store(at.Size)
	return nil
}

// compare holds what is sent once more against what is there. It returns what came behind it.
func (r *resumedRecv) compare(ctx context.Context, conn *transfer.Conn, held []byte, at proof.At, there int64) ([]byte, error) {
	sent, stored := make([]byte, 64<<10), make([]byte, 64<<10)
	for from := at.From; from < there; {
		a, b := sent[:min(int64(len(sent)), there-from)], stored
		k := copy(a, held)
		held = held[k:]
		m, err := r.j.d.t.ReadFull(ctx, conn.Endpoint, a[k:])
		if err != nil {
			return nil, err
		}
		if k+m < len(a) {
			return nil, r.short(from + int64(k+m))
		}
		b = b[:len(a)]
		if _, err := r.dst.ReadAt(b, from); err != nil {
			return nil, &transfer.Error{Op: "read", Side: transfer.Destination, Err: exit.Cause(err)}
		}
		if !bytes.Equal(a, b) {
			return nil, &exit.Failure{Status: exit.Incomplete, Hint: "zcp recv without --resume starts over",
				Err: fmt.Errorf("%s: the sender has another file: %s differs from it", r.from, r.dst.PartName())}
		}
		from += int64(len(a))
	}
	return held, nil
}

// notZcp refuses a stream that begins at its beginning, or cannot say where, and tells how other programs go on.
func (r *resumedRecv) notZcp(there int64) error {
	f := &exit.Failure{Status: exit.Incomplete, Hint: "zcp recv without --resume starts over",
		Err: errors.New(r.from + ": did not say where it begins, as send --resume does")}
	if here, other, ok := ncCommands(r.c.Net, r.c.Dest, there); ok {
		f.Hint = fmt.Sprintf("zcp recv without --resume starts over; to go on: %s here, %s there", here, other)
	}
	return f
}

// ncCommands are the commands that go on at a byte where the sender is nc, and with which nothing checks that
// it is the same file.
func ncCommands(end, dest conf.Operand, there int64) (here, other string, ok bool) {
	listen, to, on := "", "", ""
	switch end.Kind {
	case conf.TCP:
		host := end.Host
		if host == "" {
			host = "HOST"
		}
		to, on = host+" "+end.Port, "-l "+end.Port
	case conf.Unix:
		to, on = "-U "+text.Quote(end.Path), "-lU "+text.Quote(end.Path)
	default:
		return "", "", false
	}
	if end.Listen && end.Host != "" || end.Listen && end.Kind == conf.Unix {
		listen = "-l "
	}
	nc := on
	if end.Listen {
		nc = to
	}
	here = fmt.Sprintf("zcp recv -a %s%s %s", listen, end, text.Quote(dest.Path+".part"))
	return here, fmt.Sprintf("tail -c +%d FILE | nc -N %s", there+1, nc), true
}
