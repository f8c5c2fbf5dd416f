package sock

import (
	"errors"
	"net"
	"net/netip"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

func TestOnThisHost(t *testing.T) {
	for text, want := range map[string]bool{
		"127.0.0.1": true, "127.8.9.10": true, "::1": true, "::ffff:127.0.0.1": true, "0.0.0.0": true,
		"192.0.2.1": false, "2001:db8::1": false, // for documentation: RFC 5737, RFC 3849
	} {
		if got := OnThisHost(netip.MustParseAddr(text)); got != want {
			t.Errorf("%s: %v, want %v", text, got, want)
		}
	}
	if OnThisHost(netip.Addr{}) {
		t.Error("a peer without an address is on this host")
	}
	own, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range own {
		p, err := netip.ParsePrefix(a.String())
		if err != nil || p.Addr().IsLinkLocalUnicast() { // which is nothing without its zone
			continue
		}
		if !OnThisHost(p.Addr()) {
			t.Errorf("%s is an address of this host", p.Addr())
		}
	}
}

func TestPaces(t *testing.T) {
	for name, want := range map[string]bool{"bbr": true, "bbr2": true, "cubic": false, "reno": false, "": false} {
		if got := Paces(name); got != want {
			t.Errorf("%q: %v, want %v", name, got, want)
		}
	}
}

// What does not pace is kept, what paces is replaced towards this host and kept towards others.
func TestUnpace(t *testing.T) {
	here, away := netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("192.0.2.1")
	for _, c := range []struct {
		peer          netip.Addr
		begin, finish string
	}{
		{here, "bbr", Unpaced}, {away, "bbr", "bbr"}, {here, "cubic", "cubic"}, {here, Unpaced, Unpaced},
	} {
		fd, err := Stream(unix.AF_INET)
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Close(fd)
		if !slices.Contains(Algorithms(false), c.begin) {
			t.Logf("NOT TESTED: this kernel has not loaded %s", c.begin)
			continue
		}
		if err := SetCongestion(fd, c.begin); errors.Is(err, unix.EPERM) {
			t.Logf("NOT TESTED: %s: %v", c.begin, err)
			continue
		} else if err != nil {
			t.Fatal(err)
		}
		Unpace(fd, c.peer)
		if got, err := Congestion(fd); got != c.finish || err != nil {
			t.Errorf("%s towards %s: now %q (%v), want %q", c.begin, c.peer, got, err, c.finish)
		}
	}
}
