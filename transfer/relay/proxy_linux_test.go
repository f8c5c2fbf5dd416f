package relay_test

import (
	"bytes"
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/zcp-go/zcp/transfer"
	"github.com/zcp-go/zcp/transfer/internal/bed"
	"github.com/zcp-go/zcp/transfer/relay"
)

// v2 is a header of version 2.
func v2(command, family byte, length int, body string) string {
	return "\r\n\r\n\x00\r\nQUIT\n" + string([]byte{command, family, byte(length >> 8), byte(length)}) + body
}

const (
	in4 = "\xc0\x00\x02\x01\xc0\x00\x02\x02\x1f\x90\x00\x50" // 192.0.2.1:8080 to 192.0.2.2:80
	in6 = "\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01" + "\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02" + "\x1f\x90\x00\x50"
)

// TestProxyHeader reads headers, right and wrong, also when they come a byte at a time.
func TestProxyHeader(t *testing.T) {
	long := strings.Repeat("x", 3000)
	for header, want := range map[string]string{
		"PROXY TCP4 192.0.2.1 192.0.2.2 8080 80\r\n":           "192.0.2.1:8080 192.0.2.2:80",
		"PROXY TCP6 2001:db8::1 2001:db8::2 65535 0\r\n":       "[2001:db8::1]:65535 [2001:db8::2]:0",
		"PROXY TCP6 ::ffff:192.0.2.1 ::ffff:192.0.2.2 1 2\r\n": "192.0.2.1:1 192.0.2.2:2",
		"PROXY UNKNOWN\r\n":                            "invalid AddrPort invalid AddrPort",
		"PROXY UNKNOWN ffff::1 any thing\r\n":          "invalid AddrPort invalid AddrPort",
		v2(0x21, 0x11, 12, in4):                        "192.0.2.1:8080 192.0.2.2:80",
		v2(0x21, 0x21, 36, in6):                        "[2001:db8::1]:8080 [2001:db8::2]:80",
		v2(0x21, 0x11, 12+len(long), in4+long):         "192.0.2.1:8080 192.0.2.2:80",
		v2(0x20, 0x00, 0, ""):                          "invalid AddrPort invalid AddrPort",
		v2(0x20, 0x11, 12, in4):                        "invalid AddrPort invalid AddrPort",
		v2(0x21, 0x31, 216, strings.Repeat("/", 216)):  "invalid AddrPort invalid AddrPort",
		v2(0x21, 0x12, 12, in4):                        "invalid AddrPort invalid AddrPort", // UDP
		v2(0x21, 0x00, 5, "tlvs!"):                     "invalid AddrPort invalid AddrPort",
		"PROXY TCP4 192.0.2.1 192.0.2.2 08080 80\r\n":  "malformed PROXY header",
		"PROXY TCP4 192.0.2.1 192.0.2.2 +80 80\r\n":    "malformed PROXY header",
		"PROXY TCP4 192.0.2.1 192.0.2.2 65536 80\r\n":  "malformed PROXY header",
		"PROXY TCP4 192.0.2.1 192.0.2.2 80 80\n":       "malformed PROXY header",
		"PROXY TCP4  192.0.2.1 192.0.2.2 80 80\r\n":    "malformed PROXY header",
		"PROXY TCP4 192.0.2.1 192.0.2.2 80 80 \r\n":    "malformed PROXY header",
		"PROXY TCP4 192.0.2.01 192.0.2.2 80 80\r\n":    "malformed PROXY header",
		"PROXY TCP4 2001:db8::1 2001:db8::2 80 80\r\n": "malformed PROXY header",
		"PROXY TCP6 192.0.2.1 192.0.2.2 80 80\r\n":     "malformed PROXY header",
		"PROXY TCP6 fe80::1%eth0 fe80::2 80 80\r\n":    "malformed PROXY header",
		"PROXY UDP4 192.0.2.1 192.0.2.2 80 80\r\n":     "malformed PROXY header",
		"PROXY \r\n": "malformed PROXY header",
		"PROXY" + strings.Repeat(" x", 60) + "\r\n": "malformed PROXY header",
		"PROXT":                      "malformed PROXY header",
		"\r\n\r\n\x00\r\nQUIX":       "malformed PROXY header",
		v2(0x22, 0x11, 12, in4):      "malformed PROXY header",
		v2(0x11, 0x11, 12, in4):      "malformed PROXY header",
		v2(0x21, 0x41, 12, in4):      "malformed PROXY header",
		v2(0x21, 0x13, 12, in4):      "malformed PROXY header",
		v2(0x21, 0x11, 11, in4[:11]): "malformed PROXY header",
		v2(0x21, 0x21, 12, in4):      "malformed PROXY header",
		"GET / HTTP/1.0\r\n":         "no PROXY header",
		"\x16\x03\x01":               "no PROXY header",
	} {
		if got := readHeader(t, []byte(header)); got != want {
			t.Errorf("%.60q: got %s, want %s", header, got, want)
		}
	}
}

// readHeader finds the length of a header from each of its beginnings, and reads it.
func readHeader(t *testing.T, b []byte) string {
	for n := 1; n <= len(b); n++ {
		length, err := relay.ProxyLength(b[:n])
		switch {
		case err != nil:
			return err.Error()
		case length == 0:
			continue
		case length != len(b):
			t.Errorf("%.60q has %d bytes, not %d", b, len(b), length)
		}
		from, to, err := relay.ParseProxy(b[:min(len(b), 232)])
		if err != nil {
			return err.Error()
		}
		return from.String() + " " + to.String()
	}
	return "incomplete"
}

// FuzzProxy reads anything, and what it takes for a header says the same when it is written again.
func FuzzProxy(f *testing.F) {
	for _, s := range []string{"PROXY TCP4 192.0.2.1 192.0.2.2 8080 80\r\n", v2(0x21, 0x21, 36, in6), v2(0x20, 0, 0, ""), "PROXY UNKNOWN\r\n"} {
		f.Add([]byte(s), byte(1))
	}
	f.Fuzz(func(t *testing.T, b []byte, version byte) {
		if len(b) == 0 {
			return
		}
		n, err := relay.ProxyLength(b)
		if err != nil || n == 0 || n > len(b) {
			return
		}
		from, to, err := relay.ParseProxy(b[:min(n, 232)])
		if err != nil {
			return
		}
		again := relay.AppendProxy(nil, int(version%2)+1, from, to)
		m, err := relay.ProxyLength(again)
		if err != nil || m != len(again) {
			t.Fatalf("%q was written as %q: %d, %v", b, again, m, err)
		}
		x, y, err := relay.ParseProxy(again)
		if err != nil || x != from || y != to {
			t.Errorf("%q was written as %q, which is %v %v %v", b, again, x, y, err)
		}
	})
}

var loopback = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}

func accepts(r *relay.Relay) { r.AcceptProxy, r.AcceptProxyUnix = loopback, true }

// TestProxyIn: the client that the header names is the one of events and the table; what follows the header, in
// whatever segments, is relayed.
func TestProxyIn(t *testing.T) {
	for _, from := range networks {
		for _, header := range []string{"PROXY TCP4 192.0.2.1 192.0.2.2 8080 80\r\n", v2(0x21, 0x11, 12+2000, in4+strings.Repeat("x", 2000))} {
			for _, step := range []int{1, 7, 1 << 20} {
				b := newRelay(t, from, "tcp", accepts)
				client := b.dial(t)
				data := []byte(header + "hello")
				for len(data) > 0 {
					n := min(step, len(data))
					client.write(data[:n])
					data = data[n:]
				}
				target := b.accept(t)
				target.reads([]byte("hello"))
				target.write([]byte("answer"))
				client.reads([]byte("answer"))
				if rows := b.Table(); len(rows) != 1 || rows[0].Peer != "192.0.2.1:8080" || rows[0].Up != 5 {
					t.Errorf("the table says %+v", rows)
				}
				client.closeWrite()
				target.readsEnd(nil)
				target.Close()
				client.readsEnd(nil)
				if e := b.tells(t, relay.Closed, 1); e.Reason != relay.Ended || e.Conn.Peer != "192.0.2.1:8080" {
					t.Errorf("told %+v", e)
				}
			}
		}
	}
}

// TestProxyInRefused: a header that is wrong, missing or late is a reset, counted and told; a connection without a
// byte is a probe.
func TestProxyInRefused(t *testing.T) {
	defer func(d time.Duration) { *relay.GreetingLimit = d }(*relay.GreetingLimit)
	for _, test := range []struct {
		sends string
		limit time.Duration
		end   bool
		want  error
	}{
		{"GET / HTTP/1.0\r\n\r\n", bed.Patience, false, relay.ErrNoHeader},
		{"PROXY TCP5 \r\n", bed.Patience, false, relay.ErrBadHeader},
		{"PROXY TCP4 192.0.", bed.Patience, true, relay.ErrBadHeader},
		{"PROXY TCP4 192.0.", 50 * time.Millisecond, false, relay.ErrLateHeader},
		{"", 50 * time.Millisecond, false, relay.ErrLateHeader},
	} {
		*relay.GreetingLimit = test.limit
		b := newRelay(t, "tcp", "tcp", accepts)
		client := b.dial(t)
		client.write([]byte(test.sends))
		if test.end {
			client.closeWrite()
		}
		client.breaks()
		e := b.tells(t, relay.Closed, 1)
		if n := b.Totals(); e.Reason != relay.NoHeader || !errors.Is(e.Err, test.want) || n.NoHeader != 1 || n.Open != 0 || n.Connected != 0 {
			t.Errorf("%q: told %+v, %+v", test.sends, e, n)
		}
		b.end(errOver)
		<-b.served
		b.served <- nil // for the cleanup
	}
	*relay.GreetingLimit = bed.Patience
	b := newRelay(t, "tcp", "tcp", accepts)
	probe := b.dial(t)
	probe.closeWrite()
	probe.readsEnd(nil) // in order
	b.dial(t).reset()
	b.tells(t, relay.Closed, 2)
	if n := b.Totals(); n.Closed != 0 || n.Accepted != 0 || n.Broken != 0 || n.NoHeader != 0 || n.Open != 0 {
		t.Errorf("after two probes: %+v", n)
	}
}

// TestProxyInGate: the gate is for the client that the header names, and for others as ever.
func TestProxyInGate(t *testing.T) {
	gate := func(r *relay.Relay) {
		r.Gate = transfer.Gate{Allow: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}}
	}
	b := newRelay(t, "tcp", "tcp", accepts, gate)
	good := b.dial(t)
	good.write([]byte("PROXY TCP4 192.0.2.1 192.0.2.2 8080 80\r\nx"))
	b.accept(t).reads([]byte("x"))
	for _, header := range []string{"PROXY TCP4 198.51.100.1 192.0.2.2 8080 80\r\n", "PROXY UNKNOWN\r\n"} {
		bad := b.dial(t)
		bad.write([]byte(header))
		bad.breaks()
	}
	b.tells(t, relay.Denied, 2) // a reset is seen before it is counted
	if e := b.tells(t, relay.Denied, 1); e.Conn.Peer != "198.51.100.1:8080" {
		t.Errorf("told %+v", e)
	}
	if n := b.Totals(); n.Denied != 2 {
		t.Errorf("%+v", n)
	}
	others := newRelay(t, "tcp", "tcp", func(r *relay.Relay) { r.AcceptProxy = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")} })
	client, target := others.connect(t) // no header is looked for
	client.write([]byte("PROXY TCP4 192.0.2.1 192.0.2.2 8080 80\r\n"))
	target.reads([]byte("PROXY TCP4 192.0.2.1 192.0.2.2 8080 80\r\n"))
}

// TestProxyOut: a target gets the header before a byte of the client, also where it speaks first.
func TestProxyOut(t *testing.T) {
	for version := 1; version <= 2; version++ {
		sends := func(r *relay.Relay) { r.SendProxy = version }
		for _, to := range networks {
			b := newRelay(t, "tcp", to, sends)
			client, target := b.connect(t) // the client says nothing
			here, there := netip.MustParseAddrPort(client.LocalAddr().String()), netip.MustParseAddrPort(client.RemoteAddr().String())
			target.reads(relay.AppendProxy(nil, version, here, there))
			target.write([]byte("banner"))
			client.reads([]byte("banner"))
			if rows := b.Table(); len(rows) != 1 || rows[0].Up != 0 {
				t.Errorf("the header counts as the client's bytes: %+v", rows)
			}
		}
		b := newRelay(t, "unix", "tcp", sends)
		_, target := b.connect(t)
		target.reads(relay.AppendProxy(nil, version, netip.AddrPort{}, netip.AddrPort{}))

		b = newRelay(t, "tcp", "tcp", sends, accepts) // from one header to the next
		client := b.dial(t)
		client.write([]byte("PROXY TCP6 2001:db8::1 2001:db8::2 8080 80\r\nx"))
		target = b.accept(t)
		target.reads(append(relay.AppendProxy(nil, version, netip.MustParseAddrPort("[2001:db8::1]:8080"), netip.MustParseAddrPort("[2001:db8::2]:80")), 'x'))
	}
	if b := relay.AppendProxy(nil, 1, netip.MustParseAddrPort("[::ffff:192.0.2.1]:1"), netip.MustParseAddrPort("[::ffff:192.0.2.2]:2")); !bytes.Equal(b, []byte("PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n")) {
		t.Errorf("a mapped client is %q", b)
	}
}

// greets says the header of a client in front mode.
func (b *relayBed) greets(t testing.TB, c net.Conn) {
	if !front {
		return
	}
	header := "PROXY UNKNOWN\r\n"
	if c.LocalAddr().Network() == "tcp" {
		from, to := netip.MustParseAddrPort(c.LocalAddr().String()), netip.MustParseAddrPort(c.RemoteAddr().String())
		header = string(relay.AppendProxy(nil, 1+len(t.Name())%2, from, to))
	}
	_, _ = c.Write([]byte(header)) // a relay that refuses the client has reset it perhaps
}
