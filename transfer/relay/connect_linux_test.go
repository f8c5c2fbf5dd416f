package relay_test

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/zcp-go/zcp/transfer/internal/bed"
	"github.com/zcp-go/zcp/transfer/relay"
)

// TestRelayConnectsLate has a target that answers, or refuses, only when the SYN was sent
// again, as any target may that is not on this host.
func TestRelayConnectsLate(t *testing.T) {
	for name, poller := range relay.Pollers {
		t.Run(name+" answers", func(t *testing.T) {
			t.Parallel()
			l, address, waiting := fullBacklog(t, "tcp")
			b := relayTo(t, "tcp", "tcp", address, poller)
			client := b.dial(t)
			client.write([]byte("early"))
			bed.Until(t, "the relay to connect", func() bool { return len(b.Table()) == 1 })
			for i := range waiting + 1 { // the last one is the relay's
				c, _, err := unix.Accept4(l, unix.SOCK_CLOEXEC)
				bed.MustDo(t, err)
				defer unix.Close(c)
				if i < waiting {
					continue
				}
				got := make([]byte, 10)
				if n, err := unix.Read(c, got); string(got[:max(n, 0)]) != "early" {
					t.Errorf("got %q, %v", got[:max(n, 0)], err)
				}
				bed.Must(unix.Write(c, []byte("late")))(t)
			}
			client.reads([]byte("late"))
		})
		t.Run(name+" refuses", func(t *testing.T) {
			t.Parallel()
			l, address, _ := fullBacklog(t, "tcp")
			b := relayTo(t, "tcp", "tcp", address, poller)
			client := b.dial(t)
			bed.Until(t, "the relay to connect", func() bool { return len(b.Table()) == 1 })
			bed.MustDo(t, unix.Shutdown(l, unix.SHUT_RD)) // it does not listen any more
			client.breaks()
			if e := b.tells(t, relay.Unreachable, 1); !errors.Is(e.Err, unix.ECONNREFUSED) {
				t.Errorf("told %+v", e)
			}
		})
	}
}

// TestRelayBrokenOffAtOnce has a target that speaks and breaks off before the relay has seen
// that it is connected: the loop is held up meanwhile. The client hears what was said, and
// then the reset.
func TestRelayBrokenOffAtOnce(t *testing.T) {
	for name, poller := range relay.Pollers {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l, address, waiting := fullBacklog(t, "tcp")
			held, goOn := make(chan struct{}), make(chan struct{})
			b := &relayBed{network: "tcp", Relay: &relay.Relay{Network: "tcp", Address: address}}
			b.hook = func(e relay.Event) {
				if e.Kind == relay.Denied {
					close(held)
					<-goOn
				}
			}
			b.serve(t, poller, func(r *relay.Relay) {
				r.Loops, r.Gate.Deny = 1, []netip.Prefix{netip.MustParsePrefix("127.0.0.2/32")}
			})
			client := b.dial(t)
			bed.Until(t, "the relay to connect", func() bool { return len(b.Table()) == 1 })
			from := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}}
			if c, err := from.Dial("tcp", b.addr); err == nil { // it may be reset at once
				b.greets(t, c)
				defer c.Close()
			}
			<-held
			for range waiting + 1 { // the last one is the relay's, when it has sent its SYN again
				c, _, err := unix.Accept4(l, unix.SOCK_CLOEXEC)
				bed.MustDo(t, err)
				bed.Must(unix.Write(c, []byte("too many of you")))(t)
				bed.MustDo(t, unix.SetsockoptLinger(c, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1}))
				bed.MustDo(t, unix.Close(c))
			}
			close(goOn)
			client.reads([]byte("too many of you"))
			client.breaks()
			if e := b.tells(t, relay.Closed, 1); e.Reason != relay.TargetReset || e.Conn.Target != address {
				t.Errorf("told %+v", e)
			}
		})
	}
}

// TestRelayLookups lets many clients ask for a name while the answers are slow: few lookups
// are under way at once, and who came later gets an answer that was asked for later.
func TestRelayLookups(t *testing.T) {
	const clients = 40
	answers := listenOn(t, "tcp")
	good := netip.MustParseAddrPort(answers.Addr().String())
	var asked, under, most atomic.Int64
	answer := make(chan struct{})
	b := relayTo(t, "tcp", "tcp", "name.invalid:1", relay.LooksUp(func(context.Context) ([]netip.AddrPort, error) {
		asked.Add(1)
		if n := under.Add(1); n > most.Load() {
			most.Store(n) // one at a time reaches a new height: each is counted before it waits
		}
		<-answer
		under.Add(-1)
		return []netip.AddrPort{good}, nil
	}))
	b.target = answers
	for i := range int64(relay.MostLookups) { // each has its own, as long as there are few
		b.dial(t)
		bed.Until(t, "a lookup", func() bool { return asked.Load() == i+1 })
	}
	for range clients - relay.MostLookups {
		b.dial(t)
	}
	bed.Until(t, "all to wait", func() bool { return len(b.Table()) == clients })
	if n := asked.Load(); n != relay.MostLookups {
		t.Errorf("%d lookups for those who came first", n)
	}
	close(answer)
	for range clients {
		b.accept(t)
	}
	if a, m := asked.Load(), most.Load(); a <= relay.MostLookups || a >= clients || m != relay.MostLookups {
		t.Errorf("%d lookups for %d clients, %d at once", a, clients, m)
	}
}

// TestRelayLookupInVain resets a client whose target is not found in the time allowed.
func TestRelayLookupInVain(t *testing.T) {
	b := relayTo(t, "tcp", "tcp", "name.invalid:1", func(r *relay.Relay) { r.Dialer.Wait = 50 * time.Millisecond },
		relay.LooksUp(func(ctx context.Context) ([]netip.AddrPort, error) {
			<-ctx.Done() // and it is not looked up for longer than that
			return nil, ctx.Err()
		}))
	b.isRefused(t)
	var dns *net.DNSError
	if e := b.tells(t, relay.Unreachable, 1); !errors.As(e.Err, &dns) && !errors.Is(e.Err, context.DeadlineExceeded) {
		t.Errorf("told %+v", e)
	}
}
