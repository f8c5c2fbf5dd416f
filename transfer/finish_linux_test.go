package transfer_test

import (
	"context"
	"errors"
	"io"
	"net"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/zcp-go/zcp/transfer"
	"github.com/zcp-go/zcp/transfer/internal/bed"
)

// A peer is another program at the other end of a connection.
type peer struct {
	net.Conn
	t   testing.TB
	our *transfer.Conn // the other end
}

// meet returns a connection as the command dials it, and the peer that accepted it.
func meet(t testing.TB, network string) (*transfer.Conn, *peer) {
	t.Helper()
	address := "127.0.0.1:0"
	if network == "unix" {
		address = filepath.Join(t.TempDir(), "sock")
	}
	ln := bed.Must(net.Listen(network, address))(t)
	defer ln.Close()
	c := dial(t, network, ln.Addr().String())
	nc := bed.Must(ln.Accept())(t)
	t.Cleanup(func() { nc.Close() })
	if err := nc.SetDeadline(time.Now().Add(bed.Patience)); err != nil {
		t.Fatal(err)
	}
	return c, &peer{nc, t, c}
}

func dial(t testing.TB, network, address string) *transfer.Conn {
	t.Helper()
	var d transfer.Dialer
	c := bed.Must(d.Dial(bedContext(t), network, address))(t)
	t.Cleanup(func() { c.Close() })
	return c
}

// closeWrite ends the peer's direction and returns when that has reached the other end.
func (p *peer) closeWrite() {
	if err := p.Conn.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
		p.t.Error(err)
	}
	bed.Until(p.t, "the arrival of the peer's end", func() bool {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(p.our.FD()), Events: unix.POLLRDHUP}}, 0)
		return n == 1 && err == nil
	})
}

func (p *peer) readAll() []byte {
	b, err := io.ReadAll(p)
	if err != nil {
		p.t.Error("the peer:", err)
	}
	return b
}

func (p *peer) read(n int) {
	if _, err := io.CopyN(io.Discard, p, int64(n)); err != nil {
		p.t.Error("the peer:", err)
	}
}

// reset closes as a crash does, whatever was read.
func (p *peer) reset() {
	if tc, ok := p.Conn.(*net.TCPConn); ok {
		_ = tc.SetLinger(0) // refused only on a connection that is gone already
	}
	p.Close()
}

const payload = 700001

// TestFinish is the table of ends: what the peer does, and what may be said of it.
func TestFinish(t *testing.T) {
	for _, c := range []struct {
		name  string
		peer  func(p *peer)
		early bool // what the peer does comes before our first byte
		want  transfer.Delivery
		err   error
	}{
		{name: "reads all and closes", peer: func(p *peer) { p.readAll(); p.Close() }, want: transfer.PeerClosed},
		{name: "reads all, answers and closes", peer: func(p *peer) { p.readAll(); bed.Must(p.Write(bed.Noise(50000, 1)))(p.t); p.Close() }, want: transfer.PeerClosed},
		{name: "ended its direction before", peer: func(p *peer) { p.closeWrite() }, early: true, want: transfer.PeerClosedEarly},
		{name: "spoke and ended its direction before", peer: func(p *peer) { bed.Must(p.Write(bed.Noise(50000, 1)))(p.t); p.closeWrite() }, early: true, want: transfer.PeerClosedEarly},
		{name: "reads all and stays", peer: func(p *peer) { p.readAll() }, want: transfer.PeerStayedOpen},
		{name: "reads all and talks on", peer: func(p *peer) { p.readAll(); go talk(p) }, want: transfer.PeerStayedOpen},
		{name: "talks all the time", peer: func(p *peer) { go talk(p); p.readAll() }, want: transfer.PeerStayedOpen},
		{name: "answers while it reads", peer: func(p *peer) { _, _ = io.Copy(p, p); p.Close() }, want: transfer.PeerClosed},
		{name: "reads all and breaks off", peer: func(p *peer) { p.readAll(); p.reset() }, err: unix.ECONNRESET},
		{name: "breaks off in the middle", peer: func(p *peer) { p.read(payload / 2); p.reset() }, err: unix.ECONNRESET},
		{name: "closes with bytes unread", peer: func(p *peer) { p.read(1); p.Close() }, err: unix.ECONNRESET},
	} {
		for _, network := range []string{"tcp", "unix"} {
			t.Run(network+" "+c.name, func(t *testing.T) {
				if network == "unix" && c.name == "reads all and breaks off" {
					t.Skip("a Unix socket knows no reset")
				}
				conn, p := meet(t, network)
				then := c.peer
				if c.early {
					c.peer(p)
					then = func(p *peer) { p.readAll() }
				}
				done := make(chan struct{})
				go func() {
					defer close(done)
					then(p)
				}()
				tr := transfer.Transfer{Discard: true}
				got, err := sendAndFinish(t, &tr, conn, 100*time.Millisecond)
				var e *transfer.Error
				switch {
				case c.err == nil && (err != nil || got != c.want):
					t.Errorf("got %v, %v, want %v", got, err, c.want)
				case c.err != nil && (!errors.As(err, &e) || e.Side != transfer.Destination || e.Err != unix.ECONNRESET && e.Err != unix.EPIPE):
					t.Errorf("got %v, %v, want %v of the destination", got, err, c.err)
				}
				conn.Close()
				<-done
			})
		}
	}
}

// talk sends until the connection breaks.
func talk(p *peer) {
	b := make([]byte, 1<<16)
	for {
		if _, err := p.Write(b); err != nil {
			return
		}
	}
}

func sendAndFinish(t testing.TB, tr *transfer.Transfer, c *transfer.Conn, linger time.Duration) (transfer.Delivery, error) {
	t.Helper()
	ctx := bedContext(t)
	src, _ := fileSource(t, bed.Noise(payload, 7))
	if n, err := tr.Move(ctx, c.Endpoint, src, -1); err != nil {
		return 0, err
	} else if n != payload {
		t.Errorf("%d bytes moved", n)
	}
	return tr.Finish(ctx, c, linger)
}

// TestNeverAccepted sends to a process that dies with the connection in its backlog:
// the kernel has acknowledged every byte, and no process has read one.
func TestNeverAccepted(t *testing.T) {
	ln := bed.Must(net.Listen("tcp", "127.0.0.1:0"))(t)
	c := dial(t, "tcp", ln.Addr().String())
	pr, pw := newPipe(t)
	src, w := own(t, pr), far(t, pw)
	bed.Must(w.Write(bed.Noise(1000, 1)))(t)
	w.Close()
	var tr transfer.Transfer
	ctx := bedContext(t)
	if n, err := tr.Move(ctx, c.Endpoint, src, -1); n != 1000 || err != nil {
		t.Fatal(n, err)
	}
	go func() {
		bed.Until(t, "the end of the acknowledgements", func() bool { return tr.Stats.AllAcked.Load() != 0 })
		ln.Close()
	}()
	_, err := tr.Finish(ctx, c, bed.Patience)
	var e *transfer.Error
	if !errors.As(err, &e) || e.Side != transfer.Destination || e.Err != unix.ECONNRESET {
		t.Errorf("got %v, want ECONNRESET", err)
	}
}

// TestEarlyPeerBreaksOff is a peer that had ended its own direction, reads a part of what
// comes and dies, at the latest moment: when everything is in the kernel's hands.
func TestEarlyPeerBreaksOff(t *testing.T) {
	for _, network := range []string{"tcp", "unix"} {
		t.Run(network, func(t *testing.T) {
			conn, p := meet(t, network)
			smallReceiver(t, p, conn)
			p.closeWrite()
			tr := transfer.Transfer{Discard: true}
			src, _ := fileSource(t, bed.Noise(150000, 7))
			ctx := bedContext(t)
			if n, err := tr.Move(ctx, conn.Endpoint, src, -1); err != nil || n != 150000 {
				t.Fatal(n, err)
			}
			go func() {
				waitsFor(t, &tr, transfer.Destination)
				p.read(1000)
				p.reset()
			}()
			got, err := tr.Finish(ctx, conn, bed.Patience)
			var e *transfer.Error
			if !errors.As(err, &e) || e.Side != transfer.Destination {
				t.Errorf("got %v, %v, want a reset", got, err)
			}
		})
	}
}

// smallReceiver makes the peer's kernel take little, and ours a lot.
func smallReceiver(t testing.TB, p *peer, c *transfer.Conn) {
	t.Helper()
	if rb, ok := p.Conn.(interface{ SetReadBuffer(int) error }); ok {
		if err := rb.SetReadBuffer(4096); err != nil {
			t.Fatal(err)
		}
	}
	if err := unix.SetsockoptInt(c.FD(), unix.SOL_SOCKET, unix.SO_SNDBUF, 1<<20); err != nil {
		t.Fatal(err)
	}
}

// TestTwoPeers uses a transfer again: what the first peer did must not be taken for the second.
func TestTwoPeers(t *testing.T) {
	tr := transfer.Transfer{Discard: true}
	first, p := meet(t, "tcp")
	p.closeWrite()
	go p.readAll()
	if got, err := sendAndFinish(t, &tr, first, bed.Patience); got != transfer.PeerClosedEarly || err != nil {
		t.Errorf("the first: %v, %v", got, err)
	}
	second, p := meet(t, "tcp")
	go func() { p.readAll(); p.Close() }()
	if got, err := sendAndFinish(t, &tr, second, bed.Patience); got != transfer.PeerClosed || err != nil {
		t.Errorf("the second: %v, %v", got, err)
	}
}

// TestFinishIsCancelled ends the waits of Finish by the context: for the last
// acknowledgement, also of a peer that had ended its direction, and for the peer's end.
func TestFinishIsCancelled(t *testing.T) {
	why := errors.New("because")
	for _, c := range []struct {
		name        string
		early, read bool
	}{
		{name: "not acknowledged"}, {name: "not acknowledged, early", early: true}, {name: "stays open", read: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			conn, p := meet(t, "tcp")
			if c.early {
				p.closeWrite()
			}
			if c.read {
				go p.readAll()
			} else {
				smallReceiver(t, p, conn)
			}
			tr := transfer.Transfer{Discard: true}
			src, _ := fileSource(t, bed.Noise(150000, 7))
			ctx, cancel := context.WithCancelCause(bedContext(t))
			if n, err := tr.Move(ctx, conn.Endpoint, src, -1); n != 150000 || err != nil {
				t.Fatal(n, err)
			}
			go func() {
				waitsFor(t, &tr, transfer.Destination)
				if c.read {
					bed.Until(t, "the acknowledgements", func() bool { return tr.Stats.AllAcked.Load() != 0 })
				}
				cancel(why)
			}()
			if got, err := tr.Finish(ctx, conn, bed.Patience); err != why {
				t.Errorf("got %v, %v", got, err)
			}
			conn.CloseGracefully() // or the peer hears of a reset
		})
	}
}
