package relay_test

import (
	"fmt"
	"net/netip"
	"runtime"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/zcp-go/zcp/transfer"
	"github.com/zcp-go/zcp/transfer/internal/bed"
	"github.com/zcp-go/zcp/transfer/relay"
)

// TestRelayFlushes keeps both ends of a connection that is over until a peer that reads
// slowly has acknowledged everything.
func TestRelayFlushes(t *testing.T) {
	for name, poller := range relay.Pollers {
		t.Run(name, func(t *testing.T) {
			b := newRelay(t, "tcp", "tcp", poller)
			client, target := b.connect(t)
			smallWindow(t, client)
			data := bed.Noise(600000, 1) // more than the client's kernel takes, less than everybody's together
			target.write(data)
			target.closeWrite()
			client.closeWrite()
			target.readsEnd(nil)
			bed.Until(t, "the relay to wait for the client", func() bool {
				rows := b.Table()
				return len(rows) == 1 && rows[0].Waits == relay.WaitsForAck
			})
			client.readsEnd(data)
			if e := b.tells(t, relay.Closed, 1); e.Reason != relay.Ended || e.Conn.Down != int64(len(data)) {
				t.Errorf("told %+v", e)
			}
		})
		t.Run(name+" and the client breaks off", func(t *testing.T) {
			b := newRelay(t, "tcp", "tcp", poller)
			client, target := b.connect(t)
			smallWindow(t, client)
			target.write(bed.Noise(600000, 1))
			target.closeWrite()
			client.closeWrite()
			target.readsEnd(nil)
			bed.Until(t, "the relay to wait for the client", func() bool {
				rows := b.Table()
				return len(rows) == 1 && rows[0].Waits == relay.WaitsForAck
			})
			client.Close() // with bytes unread
			if e := b.tells(t, relay.Closed, 1); e.Reason != relay.ClientReset {
				t.Errorf("told %+v", e)
			}
		})
	}
}

// TestRelayUnixHangsUp closes a Unix peer altogether: no peer is there for the other
// direction any more, so the other end is closed as well, behind the last byte.
func TestRelayUnixHangsUp(t *testing.T) {
	for name, poller := range relay.Pollers {
		t.Run(name, func(t *testing.T) {
			b := newRelay(t, "tcp", "unix", poller)
			client, target := b.connect(t)
			target.write(bed.Noise(300000, 1))
			target.Close()
			client.readsEnd(bed.Noise(300000, 1))
			if e := b.tells(t, relay.Closed, 1); e.Reason != relay.Ended || e.Conn.Down != 300000 {
				t.Errorf("told %+v", e)
			}
		})
	}
}

// TestRelayKeepsAlive has the kernel ask both peers of a connection that lasts whether they live.
func TestRelayKeepsAlive(t *testing.T) {
	b := newRelay(t, "tcp", "tcp", relay.ChecksSoon)
	client, target := b.connect(t)
	client.write([]byte("x"))
	target.reads([]byte("x"))
	for _, far := range []side{client, target} {
		near := socketTo(t, far)
		bed.Until(t, "keepalive", func() bool { return bed.Must(unix.GetsockoptInt(near, unix.SOL_SOCKET, unix.SO_KEEPALIVE))(t) != 0 })
		bed.Until(t, "the time of keepalive", func() bool { return bed.Must(unix.GetsockoptInt(near, unix.IPPROTO_TCP, unix.TCP_KEEPIDLE))(t) == 60 })
	}
}

// socketTo finds the relay's socket of the connection whose other end is far.
func socketTo(t testing.TB, far side) int {
	t.Helper()
	for fd := range 1 << 16 {
		sa, err := unix.Getpeername(fd)
		if in, ok := sa.(*unix.SockaddrInet4); ok && err == nil {
			if netip.AddrPortFrom(netip.AddrFrom4(in.Addr), uint16(in.Port)).String() == far.LocalAddr().String() {
				return fd
			}
		}
		if in, ok := sa.(*unix.SockaddrInet6); ok && err == nil {
			if netip.AddrPortFrom(netip.AddrFrom16(in.Addr).Unmap(), uint16(in.Port)).String() == far.LocalAddr().String() {
				return fd
			}
		}
	}
	t.Fatal("the relay has no such socket")
	return -1
}

// TestRelayTable tells of connections what they are doing.
func TestRelayTable(t *testing.T) {
	b := newRelay(t, "tcp", "tcp", func(r *relay.Relay) { r.Loops = 3 })
	type pair struct{ client, target side }
	var pairs []pair
	for range 6 {
		client, target := b.connect(t)
		pairs = append(pairs, pair{client, target})
	}
	pairs[0].client.write([]byte("abc"))
	pairs[0].target.reads([]byte("abc"))
	pairs[1].client.fill(quietFor)
	pairs[2].target.fill(quietFor)
	pairs[3].client.fill(quietFor)
	pairs[3].target.fill(quietFor)
	pairs[4].client.closeWrite()
	pairs[4].target.readsEnd(nil)
	want := map[string]relay.Wait{}
	for i, w := range []relay.Wait{relay.WaitsForBytes, relay.WaitsForTarget, relay.WaitsForClient, relay.WaitsForBoth,
		relay.WaitsForBytes, relay.WaitsForBytes} {
		want[pairs[i].client.LocalAddr().String()] = w
	}
	rows := b.Table()
	if len(rows) != len(pairs) {
		t.Fatalf("%d rows for %d connections", len(rows), len(pairs))
	}
	ids, up, down := map[uint64]bool{}, int64(0), int64(0)
	for _, r := range rows {
		ids[r.ID] = true
		up, down = up+r.Up, down+r.Down
		w, known := want[r.Peer]
		if !known || r.Waits != w || r.Target != b.Address || r.Age <= 0 || r.Silent > r.Age {
			t.Errorf("%+v, want it to wait for %v", r, w)
		}
		if r.Peer == pairs[0].client.LocalAddr().String() && (r.Up != 3 || r.Down != 0) {
			t.Errorf("%+v", r)
		}
	}
	if n := b.Totals(); len(ids) != len(pairs) || n.Up != up || n.Down != down || n.Open != len(pairs) || n.Connected != int64(len(pairs)) {
		t.Errorf("%v, %+v, want %d up and %d down", ids, n, up, down)
	}
}

// TestRelayStallsCostNothing leaves connections in every state in which nothing can move. They
// cost no processor time, whatever the poller keeps telling of them.
func TestRelayStallsCostNothing(t *testing.T) {
	for name, poller := range relay.Pollers {
		t.Run(name, func(t *testing.T) {
			var all sync.WaitGroup
			for _, from := range networks {
				for _, to := range networks {
					for _, stall := range []func(client, target side){
						func(client, target side) {},
						func(client, target side) { client.fill(quietFor) },
						func(client, target side) { client.fill(quietFor); target.fill(quietFor) },
						func(client, target side) { client.closeWrite(); target.readsEnd(nil) },
						func(client, target side) { client.closeWrite(); target.readsEnd(nil); target.fill(quietFor) },
						func(client, target side) { client.fill(quietFor); client.closeWrite() },
						func(client, target side) { target.fill(quietFor); target.closeWrite(); client.closeWrite() },
						func(client, target side) { client.fill(quietFor); target.closeWrite(); client.readsEnd(nil) },
					} {
						if tried(name, from, to) {
							client, target := newRelay(t, from, to, poller).connect(t)
							all.Go(func() { stall(client, target) })
						}
					}
				}
			}
			all.Wait()
			used := bed.WhileNothingMoves(t, time.Second)
			if used > 100*time.Millisecond { // once may be the machine's doing
				used = bed.WhileNothingMoves(t, time.Second)
			}
			if used > 100*time.Millisecond {
				t.Errorf("%v of processor time in a second", used)
			}
		})
	}
}

// TestRelayLeavesNothing has a thousand connections at once, twice: the second time takes
// no descriptor and no goroutine more than the first, and the end of it gives all back.
func TestRelayLeavesNothing(t *testing.T) {
	const conns, workers = 1000, 50
	listenOn(t, "tcp") // the first one also opens what package net keeps for all
	before := bed.OpenDescriptors(t)
	goroutines := runtime.NumGoroutine()
	t.Run("all", func(t *testing.T) {
		address := echo(t)
		b := relayTo(t, "tcp", "tcp", address)
		round := func() {
			var all sync.WaitGroup
			for w := range workers {
				all.Go(func() {
					for i := range conns / workers {
						talkTo(t, b.addr, bed.Noise(1+i*1000, uint64(w*conns+i)), b.greets)
					}
				})
			}
			all.Wait()
			bed.Until(t, "all to be closed", func() bool { return b.Totals().Open == 0 })
		}
		round()
		after := bed.OpenDescriptors(t) - 2*b.Totals().Pipes
		round()
		bed.Until(t, fmt.Sprintf("no more than %d descriptors besides pipes to be open", after), func() bool {
			return bed.OpenDescriptors(t)-2*b.Totals().Pipes <= after
		})
		if n := b.Totals(); n.Closed != 2*conns || n.Accepted != 2*conns || n.Broken != 0 || n.Up != n.Down {
			t.Errorf("%+v", n)
		}
	})
	transfer.Pool(0).CloseIdle()
	bed.Until(t, "the descriptors to be closed", func() bool { return bed.OpenDescriptors(t) <= before })
	bed.Until(t, "the goroutines to end", func() bool { return runtime.NumGoroutine() <= goroutines })
}

// TestRelayPrompt has the small segments of a connection sent at once from the second on; the first one
// never waits, and costs no call.
func TestRelayPrompt(t *testing.T) {
	b := newRelay(t, "tcp", "tcp")
	client, target := b.connect(t)
	noDelay := func() int {
		return bed.Must(unix.GetsockoptInt(socketTo(t, target), unix.IPPROTO_TCP, unix.TCP_NODELAY))(t)
	}
	client.write([]byte("x"))
	target.reads([]byte("x"))
	if noDelay() != 0 {
		t.Error("set for the first segment")
	}
	client.write([]byte("y"))
	target.reads([]byte("y"))
	bed.Until(t, "segments to be sent at once", func() bool { return noDelay() != 0 })
}
