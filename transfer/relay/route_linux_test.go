package relay_test

import (
	"context"
	"io"
	"net"
	"testing"
	"time"

	"github.com/zcp-go/zcp/transfer"
	"github.com/zcp-go/zcp/transfer/internal/bed"
	"github.com/zcp-go/zcp/transfer/relay"
)

// named returns a server that says its name to each client and closes.
func named(t testing.TB, name string) relay.Target {
	ln := listenOn(t, "tcp")
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			_, _ = c.Write([]byte(name)) // the client sees what is missing
			c.Close()
		}
	}()
	return relay.Target{Network: "tcp", Address: ln.Addr().String()}
}

// said returns what the server that a relay's client reaches says.
func (b *relayBed) said(t testing.TB) string {
	t.Helper()
	c := b.dial(t)
	defer c.Close()
	got, err := io.ReadAll(c)
	if err != nil {
		t.Errorf("read %q, %v", got, err)
	}
	return string(got)
}

// relayRoute starts a relay to several targets.
func relayRoute(t testing.TB, route []relay.Target, options ...func(*relay.Relay)) *relayBed {
	b := &relayBed{network: "tcp", Relay: &relay.Relay{Routes: [][]relay.Target{route}}}
	b.serve(t, options...)
	return b
}

// TestRouteSpare tries the next target where one refuses or is silent for its share of Wait, and passes
// it over for a while; then one client tries it again.
func TestRouteSpare(t *testing.T) {
	defer func(d time.Duration) { *relay.PassOver = d }(*relay.PassOver)
	*relay.PassOver = 300 * time.Millisecond // set before there are loops
	const wait = 900 * time.Millisecond
	for name, dead := range map[string]string{"refuses": refusing(t, "tcp"), "is silent": blackHole(t, "tcp")} {
		b := relayRoute(t, []relay.Target{{Network: "tcp", Address: dead}, named(t, "b"), named(t, "c")},
			func(r *relay.Relay) { r.Dialer.Wait = wait })
		began := time.Now()
		if got := b.said(t); got != "b" {
			t.Errorf("%s: the first client reached %q", name, got)
		}
		first := time.Since(began)
		figures := b.Targets()
		if figures[0].Failed != 1 || !figures[0].PassedOver || figures[1].Total != 1 || figures[1].PassedOver {
			t.Errorf("%s: figures %+v", name, figures)
		}
		for range 5 { // passed over: it is not tried
			if got := b.said(t); got != "b" {
				t.Errorf("%s: a later client reached %q", name, got)
			}
		}
		if n := b.Targets()[0].Failed; n > 1 && first < *relay.PassOver/4 {
			t.Errorf("%s: it was tried %d times at once", name, n)
		}
		bed.Until(t, "it to be tried again", func() bool { return b.said(t) == "b" && b.Targets()[0].Failed > 1 })
		if first > 2*wait/3 { // its share is a third
			t.Errorf("%s: the first client waited %v of %v", name, first, wait)
		}
	}
}

// TestRouteComesBack goes back to the first target when it listens again.
func TestRouteComesBack(t *testing.T) {
	defer func(d time.Duration) { *relay.PassOver = d }(*relay.PassOver)
	*relay.PassOver = 50 * time.Millisecond
	path := freshAddr(t, "unix")
	b := relayRoute(t, []relay.Target{{Network: "unix", Address: path}, named(t, "spare")})
	if got := b.said(t); got != "spare" {
		t.Errorf("reached %q", got)
	}
	ln := bed.Must(net.Listen("unix", path))(t)
	defer ln.Close()
	go func() {
		for c, err := ln.Accept(); err == nil; c, err = ln.Accept() {
			_, _ = c.Write([]byte("first"))
			c.Close()
		}
	}()
	bed.Until(t, "the first target to be used again", func() bool { return b.said(t) == "first" })
	if f := b.Targets()[0]; f.PassedOver || f.Total == 0 {
		t.Errorf("figures %+v", f)
	}
}

// TestRouteAllDead tries all targets where all of them are passed over, and resets the client.
func TestRouteAllDead(t *testing.T) {
	b := relayRoute(t, []relay.Target{{Network: "tcp", Address: refusing(t, "tcp")}, {Network: "unix", Address: refusing(t, "unix")}})
	for range 3 {
		b.isRefused(t)
	}
	e := b.tells(t, relay.Unreachable, 3)
	if len(e.Conn.Targets) != 2 {
		t.Errorf("told %+v", e.Conn)
	}
	for _, f := range b.Targets() {
		if f.Failed != 3 || !f.PassedOver {
			t.Errorf("figures %+v", f)
		}
	}
}

// TestRouteSpread lets targets take turns, evenly also while one of them is dead.
func TestRouteSpread(t *testing.T) {
	const clients = 300
	for _, dead := range []bool{false, true} {
		route := []relay.Target{named(t, "a"), named(t, "b"), named(t, "c")}
		if dead {
			route[0].Address = refusing(t, "tcp")
		}
		b := relayRoute(t, route, func(r *relay.Relay) { r.Spread = true })
		if dead { // until it is known to be, others take what is meant for it
			bed.Until(t, "the dead one to be tried", func() bool { b.said(t); return b.Targets()[0].PassedOver })
		}
		counts := map[string]int{}
		for range clients {
			counts[b.said(t)]++
		}
		want := map[bool]int{false: clients / 3, true: clients / 2}[dead]
		for _, name := range []string{"a", "b", "c"} {
			if n := counts[name]; (n < want*99/100 || n > want*101/100+1) && !(dead && name == "a" && n == 0) {
				t.Errorf("dead %v: %v, want %d each", dead, counts, want)
			}
		}
	}
}

// TestRoutes gives each of several listeners its own targets, and counts for each.
func TestRoutes(t *testing.T) {
	var lns []*transfer.Listener
	var routes [][]relay.Target
	for _, name := range []string{"a", "b", "c"} {
		lns = append(lns, bed.Must(transfer.Listen(context.Background(), "tcp", "127.0.0.1:0"))(t))
		routes = append(routes, []relay.Target{named(t, name)})
	}
	addrs := []string{lns[0].Addr().String(), lns[1].Addr().String(), lns[2].Addr().String()}
	r := &relay.Relay{Routes: routes}
	ctx, end := context.WithCancelCause(context.Background())
	served := make(chan error, 1)
	go func() { served <- r.Serve(ctx, lns...) }()
	for i, name := range []string{"a", "b", "c"} {
		b := &relayBed{network: "tcp", addr: addrs[i]}
		for range i + 1 {
			if got := b.said(t); got != name {
				t.Errorf("listener %d leads to %q", i, got)
			}
		}
	}
	bed.Until(t, "the connections to be closed", func() bool { return r.Totals().Closed == 6 })
	for i, f := range r.Listeners() {
		if f.Addr != addrs[i] || f.Total != int64(i+1) || f.Open != 0 || f.Down != int64(i+1) || f.Up != 0 {
			t.Errorf("listener %d: %+v", i, f)
		}
		if g := r.Targets()[i]; g.Total != f.Total || g.Down != f.Down || g.Open != 0 || g.Addr != routes[i][0].Address {
			t.Errorf("target %d: %+v", i, g)
		}
	}
	end(errOver)
	<-served
	ln := bed.Must(transfer.Listen(context.Background(), "tcp", "127.0.0.1:0"))(t)
	if err := (&relay.Relay{Routes: routes}).Serve(context.Background(), ln); err == nil {
		t.Error("served 1 listener with 3 routes")
	}
}
