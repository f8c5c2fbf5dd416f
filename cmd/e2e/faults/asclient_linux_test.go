package faults

import (
	"bytes"
	"io"
	"net"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/zcp-go/zcp/cmd/e2e/program"
)

// A road is three hosts in a row: a client, the relay, and a server. The client's network is foreign to the server,
// whose way there leads over the relay's host.
type road struct {
	*cable        // a is the client, b is the relay
	server string // the namespace
}

// newRoad makes the hosts and joins them. Each network is 10.zcp, or fd00:zcp, of its own.
func newRoad(t testing.TB) *road {
	t.Helper()
	program.NeedTool(t, "iptables", "ip6tables")
	r := &road{cable: newHosts(t)}
	r.server = r.a + "s"
	r.ip("netns", "add", r.server)
	t.Cleanup(func() { r.ip("netns", "del", r.server) })
	r.ip("-n", r.b, "link", "set", "lo", "up")
	for i, ns := range []string{r.a, r.server} {
		near, far, net4, net6 := "wire", "wire"+ns[len(ns)-1:], []string{"10.91.1.", "10.91.2."}[i], []string{"fd91:1::", "fd91:2::"}[i]
		r.ip("-n", ns, "link", "add", near, "type", "veth", "peer", "name", far, "netns", r.b)
		r.join(ns, near, net4+"2/24", net6+"2/64")
		r.join(r.b, far, net4+"1/24", net6+"1/64")
		r.ip("-n", ns, "route", "add", "default", "via", net4+"1")
		r.ip("-n", ns, "-6", "route", "add", "default", "via", net6+"1")
	}
	return r
}

// join gives a device its addresses.
func (r *road) join(ns, device, addr4, addr6 string) {
	r.t.Helper()
	r.ip("-n", ns, "addr", "add", addr4, "dev", device)
	r.ip("-n", ns, "addr", "add", addr6, "dev", device, "nodad")
	r.ip("-n", ns, "link", "set", device, "up")
}

// keepAnswers has the relay's host keep what comes for the client's addresses, by the commands of the manual.
func (r *road) keepAnswers() {
	r.t.Helper()
	for _, line := range []string{
		"iptables -t mangle -A PREROUTING -p tcp -m socket --transparent -j MARK --set-mark 1",
		"ip rule add fwmark 1 lookup 100",
		"ip route add local 0.0.0.0/0 dev lo table 100",
		"ip6tables -t mangle -A PREROUTING -p tcp -m socket --transparent -j MARK --set-mark 1",
		"ip -6 rule add fwmark 1 lookup 100",
		"ip -6 route add local ::/0 dev lo table 100",
	} {
		args := append([]string{"netns", "exec", r.b}, strings.Fields(line)...)
		if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
			r.t.Skipf("NOT TESTED: %s: %v %s", line, err, out)
		}
	}
}

// TestAsClientFromAfar: a server in another network sees the client's own address, which is not one of the relay's host,
// and its answers come back: many bytes both ways at once, and then the ends of both.
func TestAsClientFromAfar(t *testing.T) {
	t.Parallel() // namespaces wait
	r := newRoad(t)
	r.keepAnswers()
	for _, family := range []struct{ client, relay, server string }{
		{"10.91.1.2", "10.91.1.1", "10.91.2.2"}, {"fd91:1::2", "fd91:1::1", "fd91:2::2"},
	} {
		for _, header := range []string{"", "--send-proxy=v1"} {
			t.Run(family.client+header, func(t *testing.T) { r.crosses(t, family.client, family.relay, family.server, header) })
		}
	}
}

// crosses makes one connection from the client over the relay to the server.
func (r *road) crosses(t *testing.T, client, relay, server, option string) {
	var ln net.Listener
	if err := inside(t, r.server, func() (err error) {
		ln, err = net.Listen("tcp", net.JoinHostPort(server, "0"))
		return err
	}); err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	args := []string{"relay", "-v", "--as-client", net.JoinHostPort(relay, "0"), ln.Addr().String()}
	if option != "" {
		args = append(args, option)
	}
	p := r.on(r.b, program.Modes[0], args...).Start()
	port := p.Says(`listening on \S+:(\d+)\n`)[1]
	var near net.Conn
	if err := inside(t, r.a, func() (err error) {
		near, err = net.DialTimeout("tcp", net.JoinHostPort(relay, port), program.GuardTime)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	defer near.Close()
	if err := ln.(*net.TCPListener).SetDeadline(time.Now().Add(program.GuardTime)); err != nil {
		t.Fatal(err)
	}
	far, err := ln.Accept()
	if err != nil {
		t.Fatalf("%v; the relay says %s", err, p.ErrOut)
	}
	defer far.Close()
	if host, _, _ := net.SplitHostPort(far.RemoteAddr().String()); host != client {
		t.Errorf("the server sees %s, not %s", host, client)
	}
	up, down := program.Noise(3<<20, 91), program.Noise(3<<20, 92)
	if option != "" { // one header, before the client's first byte
		version := map[bool]string{true: "TCP4", false: "TCP6"}[net.ParseIP(client).To4() != nil]
		_, from, _ := net.SplitHostPort(near.LocalAddr().String())
		header := "PROXY " + version + " " + client + " " + relay + " " + from + " " + port + "\r\n"
		if got := program.ReadN(t, far, len(header)); string(got) != header {
			t.Errorf("got the header %q, want %q", got, header)
		}
	}
	exchange(t, near, far, up, down)
}

// exchange sends different bytes both ways at the same time, ends both directions, and expects all of it.
func exchange(t *testing.T, near, far net.Conn, up, down []byte) {
	t.Helper()
	send := func(c net.Conn, b []byte) {
		if _, err := c.Write(b); err != nil {
			t.Error(err)
		}
		if err := c.(*net.TCPConn).CloseWrite(); err != nil {
			t.Error(err)
		}
	}
	for _, c := range []net.Conn{near, far} {
		if err := c.SetDeadline(time.Now().Add(program.GuardTime)); err != nil {
			t.Fatal(err)
		}
	}
	go send(near, up)
	go send(far, down)
	answers := make(chan []byte, 1)
	go func() {
		b, err := io.ReadAll(near)
		if err != nil {
			t.Error(err)
		}
		answers <- b
	}()
	got, err := io.ReadAll(far)
	if err != nil || !bytes.Equal(got, up) {
		t.Errorf("%d of %d bytes arrived, or others: %v", len(got), len(up), err)
	}
	if got := <-answers; !bytes.Equal(got, down) {
		t.Errorf("%d of %d bytes came back, or others", len(got), len(down))
	}
}
