package cmd

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/zcp-go/zcp/transfer/relay"
)

// An exposition is a page of metrics: in Prometheus' text format, or in OpenMetrics where a scraper asks for it.
type exposition struct {
	bytes.Buffer
	open bool // OpenMetrics
}

// kind is the media type of the page.
func (b *exposition) kind() string {
	if b.open {
		return "application/openmetrics-text; version=1.0.0; charset=utf-8"
	}
	return "text/plain; version=0.0.4; charset=utf-8"
}

// end returns the whole page.
func (b *exposition) end() []byte {
	if b.open {
		b.WriteString("# EOF\n")
	}
	return b.Bytes()
}

// head begins a family. OpenMetrics names a counter without its _total, and knows units.
func (b *exposition) head(name, kind, help string) {
	family := name
	if b.open {
		family = strings.TrimSuffix(name, "_total")
	}
	fmt.Fprintf(b, "# HELP %s %s\n# TYPE %s %s\n", family, help, family, kind)
	for _, unit := range []string{"seconds", "bytes"} {
		if b.open && strings.HasSuffix(family, "_"+unit) {
			fmt.Fprintf(b, "# UNIT %s %s\n", family, unit)
		}
	}
}

// one writes a family of one sample without labels.
func (b *exposition) one(name, kind, help string, value any) {
	b.head(name, kind, help)
	fmt.Fprintf(b, "%s %v\n", name, value)
}

// totals writes a relay's totals.
func (b *exposition) totals(t relay.Totals) {
	for _, m := range []struct {
		name, kind, help string
		value            any
	}{
		{"connections", "gauge", "Connections that are open.", t.Open},
		{"connections_max", "gauge", "Limit of connections.", t.MaxConns},
		{"accepted_total", "counter", "Accepted connections.", t.Accepted},
		{"denied_total", "counter", "Connections denied by --allow or --deny.", t.Denied},
		{"unreachable_total", "counter", "Clients that were reset because the target was not reached.", t.Unreachable},
		{"no_header_total", "counter", "Clients that were reset because they said no valid PROXY header.", t.NoHeader},
		{"closed_total", "counter", "Connections that have ended.", t.Closed},
		{"broken_total", "counter", "Connections that have ended by a reset, an error or a limit.", t.Broken},
		{"up_bytes_total", "counter", "Bytes delivered to the target.", t.Up},
		{"down_bytes_total", "counter", "Bytes delivered to the clients.", t.Down},
		{"dropped_bytes_total", "counter", "Bytes read from one side that could not be written to the other.", t.Dropped},
		{"no_pipe_total", "counter", "Times that bytes went through memory because no pipe was available.", t.NoPipe},
		{"pipes", "gauge", "Pipes that are open.", t.Pipes},
		{"uptime_seconds", "gauge", "Seconds since the relay began.", t.Age.Seconds()},
	} {
		b.one("zcp_relay_"+m.name, m.kind, m.help, m.value)
	}
}

// shares writes the figures of each listener and of each target.
func (b *exposition) shares(listeners, targets []relay.Figures) {
	family := func(of []relay.Figures, by, name, kind, help string, value func(relay.Figures) any) {
		name = "zcp_relay_" + name
		b.head(name, kind, help)
		for _, f := range of {
			fmt.Fprintf(b, "%s{%s=%s} %v\n", name, by, label(f.Addr), value(f))
		}
	}
	open := func(f relay.Figures) any { return f.Open }
	total := func(f relay.Figures) any { return f.Total }
	up := func(f relay.Figures) any { return f.Up }
	down := func(f relay.Figures) any { return f.Down }
	family(listeners, "listener", "listener_connections", "gauge", "Open connections of a listener.", open)
	family(listeners, "listener", "listener_accepted_total", "counter", "Accepted connections of a listener.", total)
	family(listeners, "listener", "listener_up_bytes_total", "counter", "Bytes delivered to the targets from the clients of a listener.", up)
	family(listeners, "listener", "listener_down_bytes_total", "counter", "Bytes delivered to the clients of a listener.", down)
	family(targets, "target", "target_connections", "gauge", "Open connections to a target.", open)
	family(targets, "target", "target_connected_total", "counter", "Connections made to a target.", total)
	family(targets, "target", "target_failed_total", "counter", "Times that a target refused, did not answer or was not found.", func(f relay.Figures) any { return f.Failed })
	family(targets, "target", "target_passed_over", "gauge", "1 while a target is tried last because it has failed, otherwise 0.", passedOver)
	family(targets, "target", "target_up_bytes_total", "counter", "Bytes delivered to a target.", up)
	family(targets, "target", "target_down_bytes_total", "counter", "Bytes delivered to the clients from a target.", down)
}

func passedOver(f relay.Figures) any {
	if f.PassedOver {
		return 1
	}
	return 0
}

// table writes the table of connections. Each is a series of its own, told apart by its id, and gone with it.
func (b *exposition) table(rows []relay.ConnInfo) {
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
		b.head("zcp_relay_"+m.name, m.kind, m.help)
		for i, c := range rows {
			fmt.Fprintf(b, "zcp_relay_%s{%s} %v\n", m.name, labels[i], m.value(c))
		}
	}
	b.head("zcp_relay_connection_waits", "gauge", "What the connection is waiting for.")
	for i, c := range rows {
		fmt.Fprintf(b, "zcp_relay_connection_waits{%s,for=%s} 1\n", labels[i], label(c.Waits.String()))
	}
}

// process writes what sizing needs, under the names that Prometheus' client libraries have for it.
func (b *exposition) process() {
	if seconds, ok := cpuSeconds(); ok {
		b.one("process_cpu_seconds_total", "counter", "Processor time, user and system, in seconds.", seconds)
	}
	if size, ok := residentBytes(); ok {
		b.one("process_resident_memory_bytes", "gauge", "Resident memory in bytes.", size)
	}
	if n, ok := openLimit(); ok {
		b.one("process_max_fds", "gauge", "Limit of open file descriptors.", n)
	}
}

var labelEscapes = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`)

// label quotes the value of a label: UTF-8, in which only these three are escaped.
func label(msg string) string {
	return `"` + labelEscapes.Replace(strings.ToValidUTF8(msg, "\uFFFD")) + `"`
}

// cpuSeconds returns the processor time of the process so far.
func cpuSeconds() (float64, bool) {
	var u unix.Rusage
	if unix.Getrusage(unix.RUSAGE_SELF, &u) != nil {
		return 0, false
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()).Seconds(), true
}

// residentBytes returns the resident memory, where /proc/self/statm (proc(5)) says it.
func residentBytes() (int64, bool) {
	b, err := os.ReadFile("/proc/self/statm")
	if f := bytes.Fields(b); err == nil && len(f) > 1 {
		n, err := strconv.ParseInt(string(f[1]), 10, 64)
		return n * int64(os.Getpagesize()), err == nil
	}
	return 0, false
}

// openLimit returns how many descriptors the process may have.
func openLimit() (uint64, bool) {
	var lim unix.Rlimit
	err := unix.Getrlimit(unix.RLIMIT_NOFILE, &lim)
	return uint64(lim.Cur), err == nil
}
