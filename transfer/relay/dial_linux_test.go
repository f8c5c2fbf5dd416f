package relay_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/zcp-go/zcp/transfer"
	"github.com/zcp-go/zcp/transfer/internal/bed"
	"github.com/zcp-go/zcp/transfer/relay"
)

// relayTo starts a relay to an address.
func relayTo(t testing.TB, from, network, address string, options ...func(*relay.Relay)) *relayBed {
	b := &relayBed{network: from, Relay: &relay.Relay{Network: network, Address: address}}
	b.serve(t, options...)
	return b
}

// refusing returns an address of this host on which there is no listener and can be no other.
func refusing(t testing.TB, network string) string {
	if network == "unix" {
		return freshAddr(t, network)
	}
	fd := bed.Must(unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0))(t)
	t.Cleanup(func() { unix.Close(fd) })
	bed.MustDo(t, unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}))
	sa := bed.Must(unix.Getsockname(fd))(t).(*unix.SockaddrInet4)
	return netip.AddrPortFrom(netip.AddrFrom4(sa.Addr), uint16(sa.Port)).String()
}

// blackHole returns an address on which connecting takes for ever: its backlog is full.
func blackHole(t testing.TB, network string) string {
	_, address, _ := fullBacklog(t, network)
	return address
}

// fullBacklog returns a listening socket in whose backlog so many connections wait as there is room for.
func fullBacklog(t testing.TB, network string) (fd int, address string, waiting int) {
	family, sa := unix.AF_INET, unix.Sockaddr(&unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}})
	path := freshAddr(t, network)
	if network == "unix" {
		family, sa = unix.AF_UNIX, &unix.SockaddrUnix{Name: path}
	}
	l := bed.Must(unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0))(t)
	t.Cleanup(func() { unix.Close(l) })
	bed.MustDo(t, unix.Bind(l, sa))
	bed.MustDo(t, unix.Listen(l, 0))
	if in, ok := bed.Must(unix.Getsockname(l))(t).(*unix.SockaddrInet4); ok {
		path = netip.AddrPortFrom(netip.AddrFrom4(in.Addr), uint16(in.Port)).String()
	}
	for n := range 8 {
		c, err := (&net.Dialer{Timeout: 50 * time.Millisecond}).Dial(network, path)
		if err != nil {
			return l, path, n
		}
		t.Cleanup(func() { c.Close() })
	}
	t.Fatal("the backlog does not fill up")
	return -1, "", 0
}

// TestRelayUnreachable resets a client whose target refuses, or does not answer in time.
func TestRelayUnreachable(t *testing.T) {
	soon := func(r *relay.Relay) { r.Dialer.Wait = 100 * time.Millisecond }
	for _, target := range []struct {
		name, network string
		address       func(testing.TB, string) string
		want          error
	}{
		{"refuses", "tcp", refusing, unix.ECONNREFUSED},
		{"refuses", "unix", refusing, unix.ENOENT},
		{"is a black hole", "tcp", blackHole, unix.ETIMEDOUT},
		{"is a black hole", "unix", blackHole, unix.EAGAIN},
		{"has no such name", "tcp", func(testing.TB, string) string { return "no-such-name.invalid:1" }, nil},
	} {
		for name, poller := range relay.Pollers {
			for _, from := range networks {
				t.Run(name+" "+from+" to "+target.network+" "+target.name, func(t *testing.T) {
					t.Parallel()
					b := relayTo(t, from, target.network, target.address(t, target.network), soon, poller)
					b.isRefused(t)
					e := b.tells(t, relay.Unreachable, 1)
					var dns *net.DNSError
					if target.want != nil && !errors.Is(e.Err, target.want) || target.want == nil && !errors.As(e.Err, &dns) {
						t.Errorf("told %v", e.Err)
					}
					if n := b.Totals(); e.Reason != relay.TargetUnreachable || n.Unreachable != 1 || n.Open != 0 {
						t.Errorf("%+v, %+v", e, n)
					}
				})
			}
		}
	}
}

// TestRelayTriesAll connects to a name of which only one address answers: others refuse,
// or do not answer at all.
func TestRelayTriesAll(t *testing.T) {
	hole, refuses := netip.MustParseAddrPort(blackHole(t, "tcp")), netip.MustParseAddrPort(refusing(t, "tcp"))
	answers := listenOn(t, "tcp")
	good := netip.MustParseAddrPort(answers.Addr().String())
	for _, addrs := range [][]netip.AddrPort{{good}, {good, refuses}, {refuses, refuses, good}, {hole, good}} {
		b := relayTo(t, "tcp", "tcp", "name.invalid:1", relay.Resolves(addrs...), func(r *relay.Relay) { r.Dialer.Wait = 5 * time.Second })
		b.target = answers
		client, target := b.connect(t)
		client.write([]byte("hello"))
		target.reads([]byte("hello"))
		if e := b.tells(t, relay.Opened, 1); e.Conn.Target != good.String() || e.Conn.Peer != client.LocalAddr().String() {
			t.Errorf("told %+v", e.Conn)
		}
	}
	b := relayTo(t, "tcp", "tcp", "name.invalid:1", relay.Resolves(refuses, refuses))
	b.isRefused(t)
}

// TestRelayRetries waits for a target that is not up yet, while the client is patient.
func TestRelayRetries(t *testing.T) {
	for _, network := range networks {
		b := relayTo(t, "tcp", network, refusing(t, network), func(r *relay.Relay) { r.Dialer.RetryFor = bed.Patience })
		client := b.dial(t)
		client.write([]byte("early"))
		gone := b.dial(t)
		bed.Until(t, "both to wait", func() bool {
			rows := b.Table()
			return len(rows) == 2 && rows[0].Waits == relay.WaitsForConnect && rows[1].Waits == relay.WaitsForConnect
		})
		gone.reset() // does not have to be served any more
		if e := b.tells(t, relay.Unreachable, 1); e.Reason != relay.ClientReset {
			t.Errorf("%s: told %+v", network, e)
		}
		if network == "unix" {
			b.target = bed.Must(net.Listen(network, b.Address))(t)
			target := b.accept(t)
			target.reads([]byte("early"))
		}
	}
}

// TestRelayBackOfUnix waits for a Unix socket whose backlog is full: there is no event for it.
func TestRelayWaitsForBacklog(t *testing.T) {
	path := freshAddr(t, "unix")
	l := bed.Must(unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0))(t)
	defer unix.Close(l)
	bed.MustDo(t, unix.Bind(l, &unix.SockaddrUnix{Name: path}))
	bed.MustDo(t, unix.Listen(l, 0))
	b := relayTo(t, "tcp", "unix", path)
	var clients []side
	for range 5 {
		clients = append(clients, b.dial(t))
	}
	bed.Until(t, "one to wait", func() bool {
		for _, r := range b.Table() {
			if r.Waits == relay.WaitsForConnect {
				return true
			}
		}
		return false
	})
	for range clients {
		c, _, err := unix.Accept4(l, unix.SOCK_CLOEXEC)
		bed.MustDo(t, err)
		bed.Must(unix.Write(c, []byte("x")))(t)
		unix.Close(c)
	}
	for _, c := range clients {
		c.reads([]byte("x"))
	}
}

// TestRelayBinds connects from the source address asked for.
func TestRelayBinds(t *testing.T) {
	b := newRelay(t, "tcp", "tcp", func(r *relay.Relay) { r.Dialer.Bind = "127.0.0.9" })
	for range 3 {
		_, target := b.connect(t)
		if host, _, _ := net.SplitHostPort(target.RemoteAddr().String()); host != "127.0.0.9" {
			t.Errorf("came from %s", host)
		}
	}
	here := netip.MustParseAddrPort(b.Address) // an address of the other family is passed over
	v6 := relayTo(t, "tcp", "tcp", "name.invalid:1", relay.Resolves(netip.MustParseAddrPort("[::1]:1"), here),
		func(r *relay.Relay) { r.Dialer.Bind = "127.0.0.9" })
	v6.target = b.target
	v6.connect(t)
	r := &relay.Relay{Network: "tcp", Address: "127.0.0.1:1", Dialer: transfer.Dialer{Bind: "not an address"}}
	if err := r.Serve(context.Background(), bed.Must(transfer.Listen(context.Background(), "tcp", "127.0.0.1:0"))(t)); err == nil {
		t.Error("served with a source address that is none")
	}
}

// TestRelayNotToItself does not connect a socket to itself where there is no listener on a
// port of those that the kernel gives out.
func TestRelayNotToItself(t *testing.T) {
	ln := bed.Must(net.Listen("tcp", "127.0.0.1:0"))(t)
	address := ln.Addr().String()
	ln.Close()
	b := relayTo(t, "tcp", "tcp", address, func(r *relay.Relay) { r.Dialer.Bind = address })
	b.isRefused(t)
	if e := b.tells(t, relay.Unreachable, 1); !errors.Is(e.Err, unix.ECONNREFUSED) {
		t.Errorf("told %+v", e)
	}
}

// TestRelaySlowUnixTarget has far more clients than the backlog of their target takes. The target has them as
// fast as it accepts, in the order in which they came; clients that go meanwhile lose nothing for the others.
func TestRelaySlowUnixTarget(t *testing.T) {
	for name, poller := range relay.Pollers {
		for _, loops := range []int{1, 2} {
			t.Run(fmt.Sprint(name, loops), func(t *testing.T) {
				const clients = 400
				path := freshAddr(t, "unix")
				l := bed.Must(unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0))(t)
				defer unix.Close(l)
				bed.MustDo(t, unix.Bind(l, &unix.SockaddrUnix{Name: path}))
				bed.MustDo(t, unix.Listen(l, 1))
				b := relayTo(t, "tcp", "unix", path, poller, func(r *relay.Relay) { r.Loops = loops })
				var gone []side
				for i := range clients {
					c := b.dial(t)
					c.write([]byte{byte(i), byte(i >> 8)})
					if i%10 == 9 {
						gone = append(gone, c)
					}
					bed.Until(t, "it to be accepted", func() bool { return b.Totals().Accepted == int64(i+1) })
				}
				for _, c := range gone {
					c.reset()
				}
				bed.Until(t, "the relay to notice", func() bool { return b.Totals().Open == clients-len(gone) })
				began, last := time.Now(), -1
				for range clients - len(gone) {
					c, _, err := unix.Accept4(l, unix.SOCK_CLOEXEC)
					bed.MustDo(t, err)
					two := make([]byte, 2)
					n, err := unix.Read(c, two)
					unix.Close(c)
					if i := int(two[0]) | int(two[1])<<8; n != 2 || err != nil || loops == 1 && i <= last {
						t.Fatalf("read %d bytes, %v, of client %d after client %d", n, err, i, last)
					} else {
						last = i
					}
				}
				if d := time.Since(began); d > bed.Patience {
					t.Errorf("%d clients in %v", clients, d)
				}
				t.Logf("%d clients in %v", clients-len(gone), time.Since(began))
			})
		}
	}
}
