package relay_test

import (
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/zcp-go/zcp/transfer"
	"github.com/zcp-go/zcp/transfer/internal/bed"
	"github.com/zcp-go/zcp/transfer/rate"
	"github.com/zcp-go/zcp/transfer/relay"
)

// TestRelayIdle resets both ends of a connection on which nothing moves, and not before.
func TestRelayIdle(t *testing.T) {
	forNetworks(t, func(t *testing.T, from, to string, poller func(*relay.Relay)) {
		const limit = 200 * time.Millisecond // a busy machine may stop a test for 100 ms
		b := newRelay(t, from, to, poller, func(r *relay.Relay) { r.Idle = limit })
		client, target := b.connect(t)
		var last time.Time
		for began := time.Now(); time.Since(began) < 3*limit; time.Sleep(limit / 20) { // bytes in one direction are enough
			last = time.Now()
			client.write([]byte("x"))
			target.reads([]byte("x"))
		}
		client.breaks()
		if d := time.Since(last); d < limit {
			t.Errorf("reset after %v", d)
		}
		target.breaks()
		if e := b.tells(t, relay.Closed, 1); e.Reason != relay.IdleTooLong || e.Err != transfer.ErrIdle {
			t.Errorf("told %+v", e)
		}
	})
}

// TestRelayHalfCloseLimit resets both ends when one has ended and the other is silent.
func TestRelayHalfCloseLimit(t *testing.T) {
	forNetworks(t, func(t *testing.T, from, to string, poller func(*relay.Relay)) {
		t.Parallel()
		const limit = 500 * time.Millisecond
		b := newRelay(t, from, to, poller, func(r *relay.Relay) { r.HalfClose = limit })
		client, target := b.connect(t)
		time.Sleep(2 * limit) // neither side has ended: there is no limit
		client.closeWrite()
		target.readsEnd(nil)
		began := time.Now()
		for time.Since(began) < 3*limit {
			target.write([]byte("x"))
			client.reads([]byte("x"))
			time.Sleep(limit / 20)
		}
		client.breaks()
		target.writeBreaks()
		if e := b.tells(t, relay.Closed, 1); e.Reason != relay.HalfClosedTooLong || e.Err != relay.ErrHalfClose {
			t.Errorf("told %+v", e)
		}
	})
}

// TestRelayMaxConns lets more clients wait than are allowed at once; each has its turn.
func TestRelayMaxConns(t *testing.T) {
	for name, poller := range relay.Pollers {
		for _, loops := range []int{1, 3} {
			t.Run(name, func(t *testing.T) {
				const most, clients = 3, 40
				b := newRelay(t, "tcp", "tcp", poller, func(r *relay.Relay) { r.MaxConns, r.Loops = most, loops })
				for i := range clients {
					c := b.dial(t)
					c.write([]byte{byte(i)})
					c.closeWrite()
				}
				seen := map[byte]bool{}
				for range clients {
					z := b.accept(t)
					if n := b.Totals().Open; n > most {
						t.Errorf("%d open at once", n)
					}
					var one [1]byte
					bed.Must(z.Read(one[:]))(t)
					seen[one[0]] = true
					z.readsEnd(nil)
					z.Close()
				}
				if len(seen) != clients {
					t.Errorf("%d clients of %d were served", len(seen), clients)
				}
			})
		}
	}
}

// TestRelayGate resets who may not connect before the target hears of it.
func TestRelayGate(t *testing.T) {
	here := netip.MustParsePrefix("127.0.0.0/8")
	for _, g := range []struct {
		name string
		gate transfer.Gate
		from string
		in   bool
	}{
		{"denied", transfer.Gate{Deny: []netip.Prefix{here}}, "tcp", false},
		{"not allowed", transfer.Gate{Allow: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}}, "tcp", false},
		{"denied although allowed", transfer.Gate{Allow: []netip.Prefix{here}, Deny: []netip.Prefix{here}}, "tcp", false},
		{"allowed", transfer.Gate{Allow: []netip.Prefix{here}}, "tcp", true},
		{"without an address", transfer.Gate{Deny: []netip.Prefix{here}}, "unix", true},
	} {
		t.Run(g.name, func(t *testing.T) {
			b := newRelay(t, g.from, "tcp", func(r *relay.Relay) { r.Gate = g.gate })
			if g.in {
				client, target := b.connect(t)
				client.write([]byte("x"))
				target.reads([]byte("x"))
				return
			}
			b.isRefused(t)
			e := b.tells(t, relay.Denied, 1)
			if n := b.Totals(); !strings.HasPrefix(e.Conn.Peer, "127.0.0.1:") || n.Denied != 1 || n.Accepted != 0 {
				t.Errorf("told %+v, %+v", e, n)
			}
		})
	}
}

// TestRelayRates keeps each direction to its limit, and all together to theirs. It looks at
// the least time only: the mean is what the Limiter's own tests are for.
func TestRelayRates(t *testing.T) {
	const perSecond, n = 2 << 20, 600 << 10
	least := time.Duration(n-perSecond/10) * time.Second / perSecond // a tenth of a second's worth may come at once
	for name, option := range map[string]func(*relay.Relay){
		"each": func(r *relay.Relay) {
			r.Limit = func() *rate.Limiter { return &rate.Limiter{Rate: perSecond} }
		},
		"all":           func(r *relay.Relay) { r.Total = &rate.Limiter{Rate: 2 * perSecond} },
		"all by memory": func(r *relay.Relay) { r.Total, r.NoSplice = &rate.Limiter{Rate: 2 * perSecond}, true },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newRelay(t, "tcp", "tcp", option)
			client, target := b.connect(t)
			began := time.Now()
			go inPieces(client, bed.Noise(n, 1), n)
			go inPieces(target, bed.Noise(n, 2), n)
			up := bed.DrainAll(target, -1, nil)
			client.readsEnd(bed.Noise(n, 2))
			if got, err := up.Wait(); string(got) != string(bed.Noise(n, 1)) || err != nil {
				t.Errorf("%d bytes up, %v", len(got), err)
			}
			if d := time.Since(began); d < least {
				t.Errorf("took %v, less than %v", d, least)
			}
		})
	}
}

// TestRelayDrain closes the listener at once and lets connections go on, to their end or until they are cut.
func TestRelayDrain(t *testing.T) {
	for name, poller := range relay.Pollers {
		for _, limit := range []time.Duration{-1, 50 * time.Millisecond} {
			t.Run(name, func(t *testing.T) {
				b := newRelay(t, "tcp", "tcp", poller)
				client, target := b.connect(t)
				client.write([]byte("one"))
				target.reads([]byte("one"))
				b.Drain(limit)
				b.Drain(limit) // said twice is said once
				b.tells(t, relay.Draining, 1)
				if _, err := net.Dial("tcp", b.addr); !errors.Is(err, unix.ECONNREFUSED) {
					t.Errorf("the listener is still there: %v", err)
				}
				if limit < 0 {
					target.write([]byte("two"))
					client.reads([]byte("two"))
					client.closeWrite()
					target.closeWrite()
					client.readsEnd(nil)
					if err := <-b.served; err != nil {
						t.Error(err)
					}
				} else {
					client.breaks()
					target.breaks()
					if err := <-b.served; err != relay.ErrDrain {
						t.Errorf("served until %v", err)
					}
				}
				b.served <- nil // for the cleanup
				if rows, n := b.Table(), b.Totals(); len(rows) != 0 || n.Open != 0 || n.Closed != 1 || n.Up != 3 {
					t.Errorf("after the end: %v, %+v", rows, n)
				}
			})
		}
	}
}

// TestRelayDrainsEarly is told to drain before it serves, as by a signal that comes at once.
func TestRelayDrainsEarly(t *testing.T) {
	b := newRelay(t, "tcp", "tcp", func(r *relay.Relay) { r.Drain(-1) })
	if err := <-b.served; err != nil {
		t.Error(err)
	}
	b.served <- nil
	if _, err := net.Dial("tcp", b.addr); !errors.Is(err, unix.ECONNREFUSED) {
		t.Errorf("the listener is still there: %v", err)
	}
}

// TestRelayStopped resets everything when the context ends, also what is still connecting.
func TestRelayStopped(t *testing.T) {
	forNetworks(t, func(t *testing.T, from, to string, poller func(*relay.Relay)) {
		b := newRelay(t, from, to, poller)
		client, target := b.connect(t)
		client.write([]byte("x"))
		target.reads([]byte("x"))
		b.end(errOver)
		if err := <-b.served; err != errOver {
			t.Error(err)
		}
		b.served <- nil
		client.breaks()
		target.breaks()
		if e := b.tells(t, relay.Closed, 1); e.Reason != relay.Stopped || e.Err != errOver {
			t.Errorf("told %+v", e)
		}
	})
	b := relayTo(t, "tcp", "tcp", blackHole(t, "tcp"))
	c := b.dial(t)
	bed.Until(t, "the client to wait", func() bool { return len(b.Table()) == 1 })
	b.end(errOver)
	c.breaks()
}

// TestRelayExitIdle ends by itself when no client came for a while, but not while one is there.
func TestRelayExitIdle(t *testing.T) {
	const limit = 50 * time.Millisecond
	b := newRelay(t, "tcp", "tcp", func(r *relay.Relay) { r.ExitIdle = limit })
	client, target := b.connect(t)
	time.Sleep(3 * limit) // nothing moves, but a client is there
	select {
	case err := <-b.served:
		t.Fatal("ended with a connection open", err)
	default:
	}
	client.closeWrite()
	target.closeWrite()
	if err := <-b.served; err != nil {
		t.Error(err)
	}
	b.served <- nil
}

// TestRelayInherited serves on a listener that another process made, which gets it back as it was.
func TestRelayInherited(t *testing.T) {
	for _, network := range networks {
		t.Run(network, func(t *testing.T) {
			path := freshAddr(t, network)
			family, sa := unix.AF_INET, unix.Sockaddr(&unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}})
			if network == "unix" {
				family, sa = unix.AF_UNIX, &unix.SockaddrUnix{Name: path}
			}
			fd := bed.Must(unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0))(t)
			defer unix.Close(fd)
			bed.MustDo(t, unix.Bind(fd, sa))
			bed.MustDo(t, unix.Listen(fd, 5))
			ln := bed.Must(transfer.InheritListener(fd))(t)
			b := &relayBed{network: network, target: listenOn(t, "tcp"), Relay: &relay.Relay{Network: "tcp"}, addr: ln.Addr().String()}
			b.Address = b.target.Addr().String()
			b.serveOn(t, ln)
			client, target := b.connect(t)
			client.write(bed.Noise(100000, 1))
			target.reads(bed.Noise(100000, 1))
			target.reset() // and what it accepted is armed all the same
			client.breaks()
			b.Drain(-1)
			if err := <-b.served; err != nil {
				t.Error(err)
			}
			b.served <- nil
			if fl := bed.Must(unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0))(t); fl&unix.O_NONBLOCK != 0 {
				t.Error("the listener does not block any more")
			}
			if network == "tcp" {
				if l := bed.Must(relay.Linger(fd))(t); l.Onoff != 0 {
					t.Error("the listener is armed")
				}
			}
			c := bed.Must(net.Dial(network, b.addr))(t) // and it still listens
			b.greets(t, c)
			c.Close()
		})
	}
}

// TestRelayListenerBreaks ends with an error when another process that holds its listener ends that.
func TestRelayListenerBreaks(t *testing.T) {
	for name, poller := range relay.Pollers {
		t.Run(name, func(t *testing.T) {
			fd := bed.Must(unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0))(t)
			defer unix.Close(fd)
			bed.MustDo(t, unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}))
			bed.MustDo(t, unix.Listen(fd, 5))
			ln := bed.Must(transfer.InheritListener(fd))(t)
			b := &relayBed{network: "tcp", target: listenOn(t, "tcp"), Relay: &relay.Relay{Network: "tcp"}, addr: ln.Addr().String()}
			b.Address = b.target.Addr().String()
			b.serveOn(t, ln, poller)
			client, target := b.connect(t)
			bed.MustDo(t, unix.Shutdown(fd, unix.SHUT_RD))
			if err := <-b.served; !errors.Is(err, unix.EINVAL) {
				t.Errorf("served until %v", err)
			}
			b.served <- nil
			client.breaks()
			target.breaks()
		})
	}
}
