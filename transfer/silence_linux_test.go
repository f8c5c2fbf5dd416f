package transfer_test

import (
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"github.com/zcp-go/zcp/transfer"
	"github.com/zcp-go/zcp/transfer/internal/bed"
)

// TestIdleSlowPeer sends to a peer that reads slowly and without a pause, for longer than Idle.
// poll(2) calls a socket writable again when a third of its buffer is free, so the sender moves
// nothing for long while the peer acknowledges all the time.
func TestIdleSlowPeer(t *testing.T) {
	for _, network := range []string{"tcp", "unix"} {
		t.Run(network, func(t *testing.T) {
			t.Parallel()
			const idle, size = 400 * time.Millisecond, 4 << 20
			conn, p := meet(t, network)
			smallReceiver(t, p, conn)
			if c, ok := p.Conn.(*net.TCPConn); ok { // no smaller: a window below a segment opens by probes, which are rare
				bed.MustDo(t, c.SetReadBuffer(64<<10))
			}
			tr := transfer.Transfer{Idle: idle, Discard: true}
			src, _ := fileSource(t, bed.Noise(size, 7))
			done := moving(bedContext(t), &tr, conn.Endpoint, src, -1)
			for began := time.Now(); time.Since(began) < 5*idle; time.Sleep(idle / 20) {
				if _, err := p.Read(make([]byte, 16<<10)); err != nil {
					t.Fatal(err)
				}
			}
			go func() { _, _ = io.Copy(io.Discard, p) }() // it ends with the connection
			if o := <-done; o.err != nil || o.n != size {
				t.Errorf("%d of %d bytes, %v", o.n, size, o.err)
			}
		})
	}
}

// TestIdleLocalReader receives for a reader of its own that takes nothing for longer than Idle:
// the peer could not have moved a byte. Then the peer is silent, and that is an end.
func TestIdleLocalReader(t *testing.T) {
	const idle, size = 200 * time.Millisecond, 16 << 20
	data := bed.Noise(size, 1)
	conn, p := meet(t, "tcp")
	to, r, _ := farSink(newPipe)(t)
	tr := transfer.Transfer{Idle: idle}
	done := moving(bedContext(t), &tr, to, conn.Endpoint, -1)
	go func() { _, _ = p.Write(data) }() // the count of what arrives tells
	select {
	case o := <-done:
		t.Fatalf("given up although only the reader of the pipe is slow: %v", o.err)
	case <-time.After(4 * idle):
	}
	d := bed.DrainAll(r, -1, nil)
	bed.Until(t, "all bytes", func() bool { return d.N.Load() == size })
	if o := <-done; !errors.Is(o.err, transfer.ErrIdle) {
		t.Errorf("%d moved, %v, want ErrIdle", o.n, o.err)
	}
}
