package cmd

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"

	"github.com/zcp-go/zcp/transfer/relay"
)

// prometheusText is the type of Prometheus' text format.
const prometheusText = "text/plain; version=0.0.4; charset=utf-8"

// metricsOfTotals writes a relay's totals as Prometheus reads them.
func metricsOfTotals(t relay.Totals) []byte {
	var b bytes.Buffer
	for _, m := range []struct {
		name, kind, help string
		value            any
	}{
		{"connections", "gauge", "Connections that are open.", t.Open},
		{"connections_max", "gauge", "Limit of connections.", t.MaxConns},
		{"accepted_total", "counter", "Accepted connections.", t.Accepted},
		{"denied_total", "counter", "Connections denied by --allow or --deny.", t.Denied},
		{"unreachable_total", "counter", "Clients that were reset because the target was not reached.", t.Unreachable},
		{"closed_total", "counter", "Connections that have ended.", t.Closed},
		{"broken_total", "counter", "Connections that have ended by a reset, an error or a limit.", t.Broken},
		{"up_bytes_total", "counter", "Bytes delivered to the target.", t.Up},
		{"down_bytes_total", "counter", "Bytes delivered to the clients.", t.Down},
		{"dropped_bytes_total", "counter", "Bytes read from one side that could not be written to the other.", t.Dropped},
		{"no_pipe_total", "counter", "Times that bytes went through memory because no pipe was available.", t.NoPipe},
		{"pipes", "gauge", "Pipes that are open.", t.Pipes},
		{"uptime_seconds", "gauge", "Seconds since the relay began.", t.Age.Seconds()},
	} {
		head(&b, m.name, m.kind, m.help)
		fmt.Fprintf(&b, "zcp_relay_%s %v\n", m.name, m.value)
	}
	return b.Bytes()
}

// metricsOfTable writes the table of connections. Each is a series of its own, told apart
// by its id, and gone with it.
func metricsOfTable(rows []relay.ConnInfo) []byte {
	var b bytes.Buffer
	labels := make([]string, len(rows))
	for i, c := range rows {
		labels[i] = fmt.Sprintf("id=%q,peer=%s,target=%s", strconv.FormatUint(c.ID, 10), label(c.Peer), label(c.Target))
	}
	for _, m := range []struct {
		name, kind, help string
		value            func(relay.ConnInfo) any
	}{
		{"connection_age_seconds", "gauge", "Seconds since the connection was accepted.", func(c relay.ConnInfo) any { return c.Age.Seconds() }},
		{"connection_silent_seconds", "gauge", "Seconds since a byte moved.", func(c relay.ConnInfo) any { return c.Silent.Seconds() }},
		{"connection_up_bytes_total", "counter", "Bytes delivered to the target.", func(c relay.ConnInfo) any { return c.Up }},
		{"connection_down_bytes_total", "counter", "Bytes delivered to the client.", func(c relay.ConnInfo) any { return c.Down }},
	} {
		head(&b, m.name, m.kind, m.help)
		for i, c := range rows {
			fmt.Fprintf(&b, "zcp_relay_%s{%s} %v\n", m.name, labels[i], m.value(c))
		}
	}
	head(&b, "connection_waits", "gauge", "What the connection is waiting for.")
	for i, c := range rows {
		fmt.Fprintf(&b, "zcp_relay_connection_waits{%s,for=%s} 1\n", labels[i], label(c.Waits.String()))
	}
	return b.Bytes()
}

func head(b *bytes.Buffer, name, kind, help string) {
	fmt.Fprintf(b, "# HELP zcp_relay_%s %s\n# TYPE zcp_relay_%s %s\n", name, help, name, kind)
}

var labelEscapes = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`)

// label quotes the value of a label: UTF-8, in which only these three are escaped.
func label(msg string) string {
	return `"` + labelEscapes.Replace(strings.ToValidUTF8(msg, "\uFFFD")) + `"`
}
