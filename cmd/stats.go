package cmd

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/zcp-go/zcp/cmd/conf"
	"github.com/zcp-go/zcp/cmd/show"
	"github.com/zcp-go/zcp/transfer"
	"github.com/zcp-go/zcp/transfer/relay"
)

const (
	statsClients  = 128             // connections at once; the oldest makes room for one more
	statsPages    = 4               // pages that are written and read at once; those of thousands of connections take megabytes
	statsPatience = 5 * time.Second // for a request and for the reading of its answer
	statsAlive    = time.Second     // for the event loops to answer /healthz
	statsRequest  = 8 << 10         // bytes of a request
)

// A statsServer serves a relay's figures: JSON on /, Prometheus text on /metrics, and whether it lives and
// accepts. It speaks just enough HTTP for curl, a scraper and a kubelet; package net/http would be a third
// of the binary. Slow and many clients cost it a bounded number of connections and pages, and never keep it
// from answering /healthz and /readyz.
type statsServer struct {
	r        *relay.Relay
	ln       net.Listener
	leaving  atomic.Bool   // SIGTERM has come: /readyz says so
	building chan struct{} // a token for each page that is under way

	mu    sync.Mutex
	conns []net.Conn // in the order in which they came
}

// serveStats listens where --stats says. It returns nil, which can be closed, where it says nothing.
func serveStats(ctx context.Context, out *show.Printer, c *conf.Relay, r *relay.Relay, taken *takeover) (*statsServer, error) {
	if c.Stats == nil {
		return nil, nil
	}
	op := *c.Stats
	ln, err := taken.plain("stats", keysOf(ctx, op, conf.Network{})...)
	if ln == nil && err == nil {
		if mode := c.Network.SocketMode; mode != 0 && conf.MakesFile(op) {
			ln, err = transfer.ListenPlainUnix(ctx, op.Path, mode)
		} else {
			ln, err = transfer.ListenPlain(ctx, op.Network, address(op))
		}
	}
	if err != nil {
		return nil, (&connector{op: op}).failure(err)
	}
	out.Say("statistics on %s", ln.Addr())
	s := &statsServer{r: r, ln: ln, building: make(chan struct{}, statsPages)}
	go s.run()
	return s, nil
}

// leave makes /readyz say that the relay is about to end.
func (s *statsServer) leave() {
	if s != nil {
		s.leaving.Store(true)
	}
}

func (s *statsServer) close() {
	if s != nil {
		s.ln.Close()
	}
}

// abandon leaves the listener to the relay that has taken over.
func (s *statsServer) abandon() {
	if s != nil {
		transfer.LeaveListener(s.ln)
	}
}

func (s *statsServer) run() {
	var retry backOff
	for {
		c, err := s.ln.Accept()
		if err != nil {
			if outOfDescriptors(err) && retry.wait(context.Background()) { // the relay itself comes first
				continue
			}
			return // closed
		}
		retry.reset()
		s.enter(c)
		go func() {
			defer s.exit(c)
			s.answer(c)
		}()
	}
}

// enter makes room for a client: the one that has been here longest goes.
func (s *statsServer) enter(c net.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.conns) == statsClients {
		s.conns[0].Close()
		s.conns = s.conns[1:]
	}
	s.conns = append(s.conns, c)
}

func (s *statsServer) exit(c net.Conn) {
	c.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	if i := slices.Index(s.conns, c); i >= 0 { // otherwise it had to go
		s.conns = slices.Delete(s.conns, i, i+1)
	}
}

// answer reads one request and writes one page.
func (s *statsServer) answer(c net.Conn) {
	if c.SetDeadline(time.Now().Add(statsPatience)) != nil {
		return
	}
	in := bufio.NewReader(io.LimitReader(c, statsRequest))
	request, err := in.ReadString('\n')
	if err != nil {
		return
	}
	open := false // OpenMetrics is asked for
	for header := request; err == nil && strings.TrimSpace(header) != ""; {
		name, value, _ := strings.Cut(header, ":")
		open = open || strings.EqualFold(name, "Accept") && strings.Contains(value, "application/openmetrics-text")
		header, err = in.ReadString('\n')
	}
	method, rest, _ := strings.Cut(request, " ")
	path, _, _ := strings.Cut(strings.TrimSpace(rest), " ")
	path, _, _ = strings.Cut(path, "?")
	if path != "/healthz" && path != "/readyz" {
		select {
		case s.building <- struct{}{}:
			defer func() { <-s.building }()
		case <-time.After(statsPatience):
			return
		}
	}
	status, kind, body := s.page(method, path, open)
	head := fmt.Sprintf("HTTP/1.0 %s\r\nContent-Type: %s\r\nContent-Length: %d\r\nConnection: close\r\n\r\n", status, kind, len(body))
	if method == "HEAD" {
		body = nil
	}
	_, _ = c.Write(append([]byte(head), body...)) // the client may have gone
}

const plainText = "text/plain; charset=utf-8"

func (s *statsServer) page(method, path string, open bool) (status, kind string, body []byte) {
	m := exposition{open: open}
	switch {
	case method != "GET" && method != "HEAD":
		return "405 Method Not Allowed", plainText, []byte("only GET\n")
	case path == "/":
		return "200 OK", "application/json", s.json()
	case path == "/healthz":
		return health(s.r.Alive(statsAlive), "serving", "an event loop does not answer")
	case path == "/readyz" && s.leaving.Load():
		return health(false, "", "ending")
	case path == "/readyz":
		return health(s.r.Accepting(), "accepting", "not accepting: full, starting or draining")
	case path == "/metrics" || path == "/metrics/totals": // its older name
		m.totals(s.r.Totals())
		m.shares(s.r.Listeners(), s.r.Targets())
		m.process()
		return "200 OK", m.kind(), m.end()
	case path == "/metrics/connections":
		m.table(s.r.Table())
		return "200 OK", m.kind(), m.end()
	}
	return "404 Not Found", plainText, []byte("there is / (JSON), /metrics, /metrics/connections (Prometheus), /healthz and /readyz\n")
}

func health(good bool, yes, no string) (status, kind string, body []byte) {
	if good {
		return "200 OK", plainText, []byte(yes + "\n")
	}
	return "503 Service Unavailable", plainText, []byte(no + "\n")
}

func (s *statsServer) json() []byte {
	var rows []*show.Row
	for _, c := range s.r.Table() {
		rows = append(rows, rowOf(c))
	}
	return show.StatsPage(totalsOf(s.r.Totals(), show.ForMost), sharesOf("listener", s.r.Listeners()), sharesOf("target", s.r.Targets()), rows)
}
