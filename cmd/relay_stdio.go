package cmd

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/zcp-go/zcp/cmd/conf"
	"github.com/zcp-go/zcp/cmd/exit"
	"github.com/zcp-go/zcp/cmd/files"
	"github.com/zcp-go/zcp/cmd/show"
	"github.com/zcp-go/zcp/cmd/text"
	"github.com/zcp-go/zcp/transfer"
	"github.com/zcp-go/zcp/transfer/rate"
)

// A stdio is relay with - as one of its ends: standard input and output joined, as one end, to
// one connection. It is a netcat that knows half-closes, and ssh's ProxyCommand.
type stdio struct {
	transfer.Exchange
	c     *conf.Relay
	peer  string
	began atomic.Pointer[time.Time] // nil until there is a connection
}

func relayStdio(ctx context.Context, out *show.Printer, c *conf.Relay) error {
	for fd, name := range []string{"standard input", "standard output"} {
		if err := files.Inherited(fd); err != nil {
			return exit.Classify(err, exit.Where{Subject: name})
		}
	}
	net := c.Pairs[0].Targets[0]
	if net.Kind == conf.Stdio {
		net = c.Pairs[0].Listen
	}
	w := &stdio{c: c, peer: net.String()}
	defer out.WhenAsked(func() { out.Emit(&show.Note{Message: w.status(), To: show.ForEveryone}) })()
	m := &connector{op: net, net: c.Network, out: out}
	if net.Listen {
		m.net.Wait = 0 // -w limits connecting, and here the other side connects
	} else if net.Kind != conf.SD && net.Kind != conf.FD {
		m.net.Allow, m.net.Deny = nil, nil
	}
	if err := m.prepare(ctx); err != nil {
		return err
	}
	defer m.close()
	conn, err := m.connect(ctx)
	if err != nil {
		return err
	}
	sayCongestion(out, conn, "")
	began := time.Now()
	w.Conn = conn
	w.began.Store(&began)
	out.Emit(&show.Open{ID: 1, Peer: "-", Target: conn.String()})
	err = w.run(ctx, out)
	reason := "ended"
	if err != nil {
		reason = err.Error()
	}
	out.Emit(&show.Close{ID: 1, Peer: "-", Target: conn.String(), UpBytes: w.Up.Stats.Bytes.Load(), DownBytes: w.Down.Stats.Bytes.Load(),
		Seconds: time.Since(began).Seconds(), Reason: reason, Ending: show.EndingOf(err)})
	if err != nil {
		conn.Close()
		return err
	}
	return conn.CloseGracefully()
}

// status is the answer to SIGUSR1.
func (w *stdio) status() string {
	began := w.began.Load()
	if began == nil {
		return "waiting for a connection"
	}
	return fmt.Sprintf("%s in %s", w.soFar(), text.Duration(time.Since(*began)))
}

func (w *stdio) soFar() string {
	return fmt.Sprintf("up %s, down %s", text.Size(w.Up.Stats.Bytes.Load()), text.Size(w.Down.Stats.Bytes.Load()))
}

func (w *stdio) run(ctx context.Context, out *show.Printer) error {
	var err error
	if w.In, err = transfer.Inherit(0); err != nil {
		return fmt.Errorf("standard input: %w", exit.Cause(err))
	}
	defer w.In.Close()
	if w.Out, err = transfer.Inherit(1); err != nil {
		return fmt.Errorf("standard output: %w", exit.Cause(err))
	}
	w.OutFD = 1
	total := &rate.Limiter{Rate: w.c.RateTotal}
	for _, t := range []*transfer.Transfer{&w.Up, &w.Down} {
		t.PipeSize, t.NoSplice, t.Idle = w.c.BufferSize, w.c.NoSplice, w.c.Idle
		if w.c.RateLimit > 0 {
			t.Limits = append(t.Limits, &rate.Limiter{Rate: w.c.RateLimit})
		}
		if w.c.RateTotal > 0 {
			t.Limits = append(t.Limits, total)
		}
	}
	w.Store = func() error { return files.Flush(1) }
	if err := w.Exchange.Run(ctx); err != nil {
		return w.failure(err)
	}
	return sourceChanged(out, w.In, "standard input")
}

// failure puts an error of one direction in the user's words.
func (w *stdio) failure(err error) error {
	at := exit.Where{Subject: "- to " + w.peer, Place: exit.Connected}
	direction, ok := errors.AsType[*transfer.ExchangeError](err)
	if side, known := errors.AsType[*transfer.Error](err); ok && known {
		err = side.Err
		switch {
		case direction.Down && side.Side == transfer.Destination:
			at.Place, at.Subject = exit.Stdout, "standard output"
		case !direction.Down && side.Side == transfer.Source:
			at.Place, at.Subject = exit.Local, "standard input"
		}
	}
	at.After = fmt.Sprintf("%s up and %s down", text.Size(w.Up.Stats.Bytes.Load()), text.Size(w.Down.Stats.Bytes.Load()))
	return exit.Classify(err, at)
}
