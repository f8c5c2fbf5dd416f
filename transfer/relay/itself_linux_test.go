package relay_test

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"testing"

	"github.com/zcp-go/zcp/transfer"
	"github.com/zcp-go/zcp/transfer/internal/bed"
	"github.com/zcp-go/zcp/transfer/relay"
)

// TestRelayToItself has the relay as its own target, by every sort of name: the client is refused,
// and no second connection is accepted. The relay goes on.
func TestRelayToItself(t *testing.T) {
	dir := t.TempDir()
	for name, c := range map[string]struct {
		network, listen string
		target          func(listening net.Addr) string
		lookUp          string
	}{
		"literal":                 {"tcp", "127.0.0.1:0", net.Addr.String, ""},
		"a wildcard":              {"tcp", ":0", func(a net.Addr) string { return on("127.0.0.1", a) }, ""},
		"a wildcard of IPv4":      {"tcp4", ":0", func(a net.Addr) string { return on("127.0.0.7", a) }, ""},
		"the unspecified address": {"tcp4", ":0", func(a net.Addr) string { return on("0.0.0.0", a) }, ""},
		"a name":                  {"tcp", "127.0.0.1:0", func(a net.Addr) string { return on("second.example", a) }, "127.0.0.1"},
		"a path":                  {"unix", filepath.Join(dir, "s"), net.Addr.String, ""},
		"a second path": {"unix", filepath.Join(dir, "s"), func(a net.Addr) string {
			bed.MustDo(t, os.Symlink(a.String(), filepath.Join(dir, "t")))
			return filepath.Join(dir, "t")
		}, ""},
		"an abstract name": {"unix", "@zcp-relay-to-itself-" + filepath.Base(dir), net.Addr.String, ""},
	} {
		t.Run(name, func(t *testing.T) {
			ln := bed.Must(transfer.Listen(context.Background(), c.network, c.listen))(t)
			b := &relayBed{network: ln.Addr().Network(), addr: ln.Addr().String(), Relay: &relay.Relay{Network: ln.Addr().Network(), Address: c.target(ln.Addr())}}
			if c.listen == ":0" {
				b.addr = on("127.0.0.1", ln.Addr())
			}
			var options []func(*relay.Relay)
			if c.lookUp != "" {
				options = append(options, relay.Resolves(netip.AddrPortFrom(netip.MustParseAddr(c.lookUp), ln.Addr().(*net.TCPAddr).AddrPort().Port())))
			}
			b.serveOn(t, ln, options...)
			for i := range 2 {
				b.isRefused(t)
				if e := b.tells(t, relay.Unreachable, i+1); !errors.Is(e.Err, relay.ErrItself) {
					t.Errorf("told %+v", e)
				}
			}
			if n := b.Totals(); n.Accepted != 2 {
				t.Errorf("accepted %d of 2 clients", n.Accepted)
			}
		})
	}
}

// on returns an address with the port of another.
func on(host string, a net.Addr) string {
	_, port, _ := net.SplitHostPort(a.String()) // it is the text of a TCP address
	return net.JoinHostPort(host, port)
}

// TestRelayCircle has two relays that are each other's target. They cannot know, so one client makes as many
// connections as are allowed; but its reset ends all of them, and a drain of one relay ends both of them.
func TestRelayCircle(t *testing.T) {
	for _, how := range []string{"reset", "drain"} {
		t.Run(how, func(t *testing.T) {
			const most = 100
			few := func(r *relay.Relay) {
				if r.MaxConns = most; front { // each expects a header of the other
					r.SendProxy = 2
				}
			}
			ln := bed.Must(transfer.Listen(context.Background(), "tcp", "127.0.0.1:0"))(t)
			a := &relayBed{network: "tcp", addr: ln.Addr().String(), Relay: &relay.Relay{Network: "tcp"}}
			b := relayTo(t, "tcp", "tcp", a.addr, few)
			a.Address = b.addr
			a.serveOn(t, ln, few)
			full := func() bool { return a.Totals().Open == most && b.Totals().Open >= most-1 }
			client := a.dial(t)
			client.write([]byte("x"))
			bed.Until(t, "the circle to be full", full)
			if how == "drain" {
				a.Drain(-1)
				client.breaks()
			} else {
				client.reset()
			}
			bed.Until(t, "all to end", func() bool { return a.Totals().Open == 0 && b.Totals().Open == 0 })
			if n := a.Totals(); n.Open != 0 || b.Totals().Open != 0 {
				t.Errorf("%d and %d are open", n.Open, b.Totals().Open)
			}
			if how == "drain" {
				b.isRefused(t)
			} else if e := a.told(relay.AcceptPaused); len(e)+len(b.told(relay.AcceptPaused)) == 0 {
				t.Error("neither relay has said that it may be in a circle")
			}
		})
	}
}
