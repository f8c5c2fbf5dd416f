package cmd

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/term"

	"github.com/zcp-go/zcp/cmd/conf"
	"github.com/zcp-go/zcp/cmd/files"
	"github.com/zcp-go/zcp/cmd/show"
	"github.com/zcp-go/zcp/cmd/text"
	"github.com/zcp-go/zcp/transfer"
)

// peerName is what the other end of the connection is called, fit for a terminal: by the words of the user,
// with the address that these turned out to be.
func (j *job) peerName() string { return peerName(j.net, j.d.conn) }

func peerName(op conf.Operand, c *transfer.Conn) string {
	addr := nameOf(c, op)
	if op.Kind != conf.TCP || op.Listen {
		return text.Quote(addr)
	}
	ip, port, err := net.SplitHostPort(addr)
	switch {
	case err != nil || ip == op.Host:
		return op.String()
	case port == op.Port:
		return op.String() + " (" + ip + ")"
	}
	return op.String() + " (" + addr + ")"
}

// nameOf is the address of a peer, or the operand by which it was reached where it has none.
func nameOf(c *transfer.Conn, op conf.Operand) string {
	if c.Remote == "" {
		return op.Text
	}
	return c.Remote
}

// destination is what the bytes go to.
func (j *job) destination() string {
	if name := j.renamed.Load(); name != nil {
		return *name
	}
	return j.to
}

// pair names both ends, and one of several targets alone.
func (j *job) pair() string {
	if j.label != "" {
		return j.label
	}
	return j.from + " to " + j.destination()
}

// movedName is the file that was moved: what was sent, or where it was stored.
func (j *job) movedName() string {
	switch {
	case j.d.role != receiving:
		return j.from
	case j.stdout:
		return ""
	}
	return j.destination()
}

// named sets what the two ends are called, and how they were typed.
func (j *job) named(sources []conf.Operand, dest conf.Operand) {
	typed := func(op conf.Operand) string { return text.Quote(op.Text) }
	j.from, j.to = sourcesText(sources, conf.Operand.String), dest.String()
	j.src, j.dst = sourcesText(sources, typed), typed(dest)
}

// sourcesText is how several sources are called in one line.
func sourcesText(ops []conf.Operand, name func(conf.Operand) string) string {
	switch len(ops) {
	case 1:
		return name(ops[0])
	case 2:
		return name(ops[0]) + " and " + name(ops[1])
	}
	return name(ops[0]) + " and " + text.Grouped(int64(len(ops)-1)) + " more"
}

// fileName is an operand as package files takes it.
func fileName(op conf.Operand) files.Name {
	n := files.Name{Path: op.Path, FD: op.FD, Text: op.Called()}
	switch op.Kind {
	case conf.Zero:
		n.Path = "/dev/zero"
	case conf.Null:
		n.Path = "/dev/null"
	}
	return n
}

func fileNames(ops []conf.Operand) []files.Name {
	names := make([]files.Name, len(ops))
	for i, op := range ops {
		names[i] = fileName(op)
	}
	return names
}

// isStdout tells standard output, by whatever name, from other ends: when its reader goes
// away, nothing is reported.
func isStdout(op conf.Operand) bool { return op.Kind == conf.FD && op.FD == 1 }

// onTerminal tells whether a destination shows its bytes on a terminal.
func onTerminal(op conf.Operand) bool { return op.Kind == conf.FD && term.IsTerminal(op.FD) }

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
