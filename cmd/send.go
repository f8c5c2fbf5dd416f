package cmd

import (
	"context"
	"fmt"
	"time"

	"github.com/zcp-go/zcp/cmd/conf"
	"github.com/zcp-go/zcp/cmd/exit"
	"github.com/zcp-go/zcp/cmd/files"
	"github.com/zcp-go/zcp/cmd/proof"
	"github.com/zcp-go/zcp/cmd/show"
	"github.com/zcp-go/zcp/cmd/text"
	"github.com/zcp-go/zcp/transfer"
)

// runSend moves files or stdin to one peer (or to every client with -k) and waits until
// the peer has acknowledged everything.
func runSend(ctx context.Context, out *show.Printer, c *conf.Send) error {
	if err := checkCongestion(c.Congestion); err != nil {
		return err
	}
	switch {
	case c.KeepOpen:
		return serveSend(ctx, out, c)
	case len(c.To) > 0:
		return runFanout(ctx, out, c)
	}
	j := newSendJob(out, c)
	j.watch(false)
	if err := checkSources(c.Sources, c.Tree); err != nil {
		return j.refused(err)
	}
	if c.Resume {
		return runSendResumed(ctx, j, c)
	}
	return j.over(ctx, c.Network, func(conn *transfer.Conn) error { return j.send(ctx, conn, c) })
}

func newSendJob(out *show.Printer, c *conf.Send) *job {
	j := newJob(out, sending, c.Transfer, c.Length, c.Idle)
	j.named(c.Sources, c.Net)
	j.net, j.shared = c.Net, isShared(c.Sources)
	j.d.t.Discard, j.d.t.Heard = true, j.hear
	j.prove(c.Proof, c.Sources, c.IsTree(c.Sources))
	if c.IsTree(c.Sources) {
		return j
	}
	if size := rest(files.TotalSize(fileNames(c.Sources)), c.Skip); j.total.Load() < 0 || size >= 0 && (size < j.total.Load() || c.Estimate) && !c.StopAtSize {
		j.total.Store(size)
	}
	return j
}

// send moves everything to a connection and ends it.
func (j *job) send(ctx context.Context, conn *transfer.Conn, c *conf.Send) error {
	sayCongestion(j.out, conn, j.label)
	if err := j.attach(ctx, conn); err != nil {
		return err
	}
	defer j.stop(false)
	if c.IsTree(c.Sources) {
		return j.sendTree(ctx, conn, c)
	}
	var sources []*transfer.Endpoint // open until the peer has closed: until then their pages may be in use
	defer func() {
		for _, e := range sources {
			e.Close()
		}
	}()
	attend := func(ctx context.Context) error { return j.d.t.ServeWhileWaiting(ctx, conn.Endpoint, transfer.Source) }
	err := j.moveAll(ctx, conn.Endpoint, fileNames(c.Sources), attend, func(_ files.Name, e *transfer.Endpoint, err error) error {
		if e != nil {
			sources = append(sources, e)
		}
		return err
	})
	if err == nil {
		err = j.complete(j.from)
	}
	if err = j.finish(ctx, conn, c.Linger, err); err == nil {
		err = j.verdict()
	}
	if err != nil {
		err = j.breakOff(err)
		if exit.Status(err) == exit.Unproven { // it may be why
			for i, e := range sources {
				j.ofSources().Error(sourceChanged(j.ofSources(), e, c.Sources[i].String()))
			}
		}
		return err
	}
	err = j.closeOrderly()
	for i, e := range sources {
		changed := sourceChanged(j.ofSources(), e, c.Sources[i].String())
		if err == nil {
			err = changed
		} else {
			j.ofSources().Error(changed)
		}
	}
	j.endSend(err)
	return err
}

// finish waits until the peer has everything, unless err already ended the transfer.
func (j *job) finish(ctx context.Context, conn *transfer.Conn, linger time.Duration, err error) error {
	if err == nil {
		j.d.enter(show.Closing)
		j.heard.changed = time.Now()
		j.d.how, err = j.d.t.Finish(ctx, conn, linger)
		if err == nil && j.d.how == transfer.PeerStayedOpen && j.heard.busy.What == proof.PassedOn {
			err = &exit.Failure{Status: exit.TimedOut,
				Err: fmt.Errorf("%s: the receiver was passing it on, and has not been heard of since", j.pair())}
		}
	}
	j.d.tcp, _ = conn.TCPInfo()
	if j.out.Options.Explain {
		j.d.congestion, _ = conn.Congestion()
	}
	if err == nil {
		j.stop(true) // it asks the connection what was acknowledged
	}
	return err
}

// endSend says what came of it, and what the peer sent back.
func (j *job) endSend(err error) {
	if err == nil {
		j.sayDigest()
	}
	if n := j.d.t.Stats.Dropped.Load(); n > 0 {
		j.out.Detail("%s sent %s back, which was dropped", j.peerName(), text.Size(n))
	}
	j.end("sent", "to "+j.peerName(), j.sendNote(), show.ForMost, err)
}

var deliveryNote = [...]string{
	transfer.PeerClosed:      "",
	transfer.PeerClosedEarly: "acknowledged; the peer had closed its side early",
	transfer.PeerStayedOpen:  "acknowledged; the peer kept its side open",

	transfer.PeerClosedUncounted: "the peer has closed; what it has acknowledged cannot be seen on this system",
	transfer.PeerOpenUncounted:   "not known to be acknowledged; this system does not count it, and the peer kept its side open",
}
