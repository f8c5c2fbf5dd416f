package e2e

import (
	"fmt"
	"net"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/zcp-go/zcp/cmd/e2e/program"
)

// TestAsClient: the target sees the client's own address; a client of a Unix socket has none.
func TestAsClient(t *testing.T) {
	program.NeedRoot(t)
	came := make(chan string, 1)
	addr := program.Target(t, "tcp", func(c net.Conn) {
		host, _, _ := net.SplitHostPort(c.RemoteAddr().String())
		came <- host
		c.Close()
	})
	dir := t.TempDir()
	p := program.Zcp(t, "relay", "--as-client", "--accept-proxy", "127.0.0.9", "127.0.0.1:0", addr, "unix:"+dir+"/s", addr).Start()
	from := func(host, header string) string {
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(host)}}
		c, err := d.Dial("tcp", "127.0.0.1:"+p.Port())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		fmt.Fprint(c, header)
		return <-came
	}
	if got := from("127.0.0.5", ""); got != "127.0.0.5" {
		t.Errorf("the target sees %s", got)
	}
	if got := from("127.0.0.9", "PROXY TCP4 127.8.8.8 127.0.0.1 80 80\r\n"); got != "127.8.8.8" {
		t.Errorf("behind a proxy the target sees %s", got)
	}
	if got := from("127.0.0.9", "PROXY TCP6 2001:db8::1 2001:db8::2 80 80\r\n"); got != "127.0.0.1" {
		t.Errorf("for a client of IPv6 the target sees %s", got)
	}
	c, err := net.Dial("unix", dir+"/s")
	if err != nil {
		t.Fatal(err)
	}
	if got := <-came; got != "127.0.0.1" {
		t.Errorf("for a client of a Unix socket the target sees %s", got)
	}
	c.Close()
	p.Signal(unix.SIGTERM)
	p.Ends(0)
}

// TestAsClientRefused: without the capability that is said before it listens.
func TestAsClientRefused(t *testing.T) {
	program.NeedRoot(t)
	program.NeedTool(t, "setpriv")
	p := program.Command(t, "setpriv", "--bounding-set=-all", "--inh-caps=-all", program.Path(t), "relay", "--as-client", "127.0.0.1:0", "127.0.0.1:1")
	p.Run(1).Says("--as-client: needs CAP_NET_ADMIN or CAP_NET_RAW: operation not permitted")
	if strings.Contains(p.ErrOut.String(), "listening") {
		t.Error("it listened first")
	}
}
