package cmd

import (
	"context"
	"time"

	"github.com/zcp-go/zcp/cmd/conf"
	"github.com/zcp-go/zcp/cmd/show"
	"github.com/zcp-go/zcp/cmd/text"
	"github.com/zcp-go/zcp/transfer"
)

// probeLinger is how long a probe waits for the other side to close. What it has sent would be unread
// otherwise, and a close with unread bytes is a reset (RFC 1122, 4.2.2.13), which servers log.
const probeLinger = 500 * time.Millisecond

// runProbe connects, sends nothing, and closes in order.
func runProbe(ctx context.Context, out *show.Printer, c *conf.Probe) error {
	m := &connector{op: c.Net, net: c.Network, out: out}
	began := time.Now()
	conn, err := m.connect(ctx)
	if err != nil {
		return err
	}
	took := time.Since(began)
	out.Emit(&show.Probed{Target: text.Quote(c.Net.Text), Peer: peerName(c.Net, conn), Addr: conn.Remote, Seconds: took.Seconds()})
	t := transfer.Transfer{Discard: true}
	if _, err := t.Finish(ctx, conn, probeLinger); err != nil { // it was there, which is what was asked
		conn.Close()
		return nil
	}
	return conn.CloseGracefully()
}
