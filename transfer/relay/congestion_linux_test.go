package relay_test

import (
	"net"
	"os"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/zcp-go/zcp/transfer"
	"github.com/zcp-go/zcp/transfer/internal/bed"
	"github.com/zcp-go/zcp/transfer/internal/sock"
	"github.com/zcp-go/zcp/transfer/relay"
)

// congestionOf returns the congestion control of this process's socket between two addresses.
func congestionOf(t *testing.T, local, remote net.Addr) string {
	t.Helper()
	for _, e := range bed.Must(os.ReadDir("/proc/self/fd"))(t) {
		fd := bed.Must(strconv.Atoi(e.Name()))(t)
		la, err := unix.Getsockname(fd)
		if err != nil || sock.Text(la) != local.String() {
			continue
		}
		if ra, err := unix.Getpeername(fd); err == nil && sock.Text(ra) == remote.String() {
			return bed.Must(sock.Congestion(fd))(t)
		}
	}
	t.Errorf("no socket from %s to %s", local, remote)
	return ""
}

// Both sides of a relay have the congestion control that was asked for; without, no peer on
// this host is paced.
func TestCongestion(t *testing.T) {
	unpaced := transfer.DefaultCongestion()
	if transfer.Paces(unpaced) {
		unpaced = sock.Unpaced
	} else {
		t.Logf("NOT TESTED: a host that paces, this one has %s", unpaced)
	}
	for asked, want := range map[string]string{"": unpaced, "reno": "reno", "cubic": "cubic", "bbr": "bbr"} {
		if asked != "" && transfer.CheckCongestion(asked) != nil {
			t.Logf("NOT TESTED: %s", asked)
			continue
		}
		b := newRelay(t, "tcp", "tcp", func(r *relay.Relay) { r.Dialer.Congestion = asked })
		client := bed.Must(net.Dial("tcp", b.addr))(t)
		b.greets(t, client)
		defer client.Close()
		target := bed.Must(b.target.Accept())(t)
		defer target.Close()
		if got := congestionOf(t, client.RemoteAddr(), client.LocalAddr()); got != want {
			t.Errorf("%q: %s towards the client, want %s", asked, got, want)
		}
		if got := congestionOf(t, target.RemoteAddr(), target.LocalAddr()); got != want {
			t.Errorf("%q: %s towards the target, want %s", asked, got, want)
		}
	}
}
