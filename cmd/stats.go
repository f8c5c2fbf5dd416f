package cmd

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"github.com/zcp-go/zcp/cmd/conf"
	"github.com/zcp-go/zcp/cmd/show"
	"github.com/zcp-go/zcp/transfer"
	"github.com/zcp-go/zcp/transfer/relay"
)

const (
	statsClients  = 16              // pages served at once; more wait
	statsPatience = 5 * time.Second // for a request and for the reading of its answer
	statsRequest  = 8 << 10         // bytes of a request
)

// A statsServer serves a relay's figures: JSON on /, Prometheus text on /metrics. It
// speaks just enough HTTP for curl and a scraper; package net/http would be a third of the binary.
type statsServer struct {
	r  *relay.Relay
	ln net.Listener
}

// serveStats listens where --stats says. It returns nil, which can be closed, where it says nothing.
func serveStats(ctx context.Context, out *show.Printer, c *conf.Relay, r *relay.Relay) (*statsServer, error) {
	if c.Stats == nil {
		return nil, nil
	}
	op := *c.Stats
	ln, err := transfer.ListenPlain(ctx, op.Network, address(op))
	if err != nil {
		return nil, (&connector{op: op}).failure(err)
	}
	out.Say("statistics on %s", ln.Addr())
	s := &statsServer{r: r, ln: ln}
	go s.run()
	return s, nil
}

func (s *statsServer) close() {
	if s != nil {
		s.ln.Close()
	}
}

func (s *statsServer) run() {
	slots := make(chan struct{}, statsClients)
	var retry backOff
	for {
		slots <- struct{}{}
		c, err := s.ln.Accept()
		if err != nil {
			if outOfDescriptors(err) && retry.wait(context.Background()) { // the relay itself comes first
				<-slots
				continue
			}
			return // closed
		}
		retry.reset()
		go func() {
			s.answer(c)
			<-slots
		}()
	}
}

// answer reads one request and writes one page.
func (s *statsServer) answer(c net.Conn) {
	defer c.Close()
	if c.SetDeadline(time.Now().Add(statsPatience)) != nil {
		return
	}
	in := bufio.NewReader(io.LimitReader(c, statsRequest))
	request, err := in.ReadString('\n')
	if err != nil {
		return
	}
	for header := request; err == nil && strings.TrimSpace(header) != ""; { // the headers say nothing that matters here
		header, err = in.ReadString('\n')
	}
	method, rest, _ := strings.Cut(request, " ")
	path, _, _ := strings.Cut(strings.TrimSpace(rest), " ")
	status, kind, body := s.page(method, path)
	head := fmt.Sprintf("HTTP/1.0 %s\r\nContent-Type: %s\r\nContent-Length: %d\r\nConnection: close\r\n\r\n", status, kind, len(body))
	if method == "HEAD" {
		body = nil
	}
	_, _ = c.Write(append([]byte(head), body...)) // the client may have gone
}

func (s *statsServer) page(method, path string) (status, kind string, body []byte) {
	const plainText = "text/plain; charset=utf-8"
	path, _, _ = strings.Cut(path, "?")
	switch {
	case method != "GET" && method != "HEAD":
		return "405 Method Not Allowed", plainText, []byte("only GET\n")
	case path == "/":
		return "200 OK", "application/json", s.json()
	case path == "/metrics":
		return "200 OK", prometheusText, append(metricsOfTotals(s.r.Totals()), metricsOfTable(s.r.Table())...)
	case path == "/metrics/totals":
		return "200 OK", prometheusText, metricsOfTotals(s.r.Totals())
	}
	return "404 Not Found", plainText, []byte("there is / (JSON), /metrics and /metrics/totals (Prometheus)\n")
}

func (s *statsServer) json() []byte {
	var rows []*show.Row
	for _, c := range s.r.Table() {
		rows = append(rows, rowOf(c))
	}
	return show.StatsPage(totalsOf(s.r.Totals(), show.ForMost), rows)
}
