package cmd

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/zcp-go/zcp/cmd/conf"
	"github.com/zcp-go/zcp/cmd/show"
	"github.com/zcp-go/zcp/cmd/text"
)

// announce says where a listener waits. The port that the kernel picked for :0 is said even
// with -q. On a terminal it says what to type at the other end.
func (c *connector) announce(a net.Addr) {
	e := &show.Listening{Addr: text.Quote("unix:" + a.String()), Picked: c.op.Kind == conf.TCP && c.op.Port == "0"}
	if t, ok := a.(*net.TCPAddr); ok {
		e.Addr, e.Port = t.String(), t.Port
		if c.there != "" && c.out.OnTerminal() {
			host, _ := os.Hostname()
			e.Here, e.There = reachable(t, host, interfaceAddrs())
			if e.There != "" {
				e.There = fmt.Sprintf(c.there, e.There)
			}
		}
	}
	c.out.Emit(e)
}

// mostAddresses is how many addresses of this host are listed: one with containers has dozens.
const mostAddresses = 4

// reachable says where a listener is to be found from outside: in a line here, and as what to type there. Both
// are empty where it listens on an address of the user's, or no other host can reach it.
func reachable(a *net.TCPAddr, host string, own []netip.Addr) (here, there string) {
	if !a.IP.IsUnspecified() {
		return "", ""
	}
	port := strconv.Itoa(a.Port)
	var addrs []string
	for _, ip := range own {
		if ip.IsLoopback() || ip.IsLinkLocalUnicast() || a.IP.To4() != nil && !ip.Is4() || len(addrs) == mostAddresses {
			continue
		}
		addrs = append(addrs, ip.String())
	}
	if len(addrs) == 0 {
		return "", ""
	}
	here = ":" + port
	if a.IP.To4() != nil {
		here = a.String()
	}
	if host == "" || host == "localhost" {
		host = addrs[0]
	}
	return here + " (" + strings.Join(addrs, ", ") + ")", net.JoinHostPort(host, port)
}

// typedThere is what the other end of a transfer is started with. flags are those that both ends need.
func typedThere(r role, isTree bool, flags ...string) string {
	what := "FILE"
	if isTree {
		what = "DIR/"
	}
	words := []string{"zcp recv", "%s", what}
	if r == receiving {
		words = []string{"zcp send", what, "%s"}
	}
	return strings.Join(slices.Insert(words, 1, flags...), " ")
}
