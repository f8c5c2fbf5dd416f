package cmd

import (
	"slices"
	"sync"
	"time"

	"github.com/zcp-go/zcp/transfer"
)

// A serverLog knows what the connections of a server do, for SIGUSR1.
type serverLog struct {
	mu      sync.Mutex
	running []*serverConn // in the order in which they came
	total   Totals        // of those that have ended; Accepted counts all
	started time.Time
}

// A serverConn is one connection of a server.
type serverConn struct {
	id    uint64
	peer  string
	since time.Time
	t     *session // nil: not begun
}

func (l *serverLog) open(peer string) *serverConn {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.total.Accepted++
	k := &serverConn{id: uint64(l.total.Accepted), peer: peer, since: time.Now()}
	l.running = append(l.running, k)
	return k
}

func (l *serverLog) denied() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.total.Denied++
}

func (l *serverLog) begun(k *serverConn, t *session) {
	l.mu.Lock()
	defer l.mu.Unlock()
	k.t = t
}

func (l *serverLog) close(k *serverConn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.running = slices.DeleteFunc(l.running, func(o *serverConn) bool { return o == k })
	up, down := k.bytes()
	l.total.UpBytes += up
	l.total.DownBytes += down
	l.total.Closed++
	if k.t.err != nil {
		l.total.Broken++
	}
}

// bytes returns how many came from the peer, and how many went to it.
func (k *serverConn) bytes() (up, down int64) {
	switch {
	case k.t == nil:
		return 0, 0
	case k.t.pulling:
		return k.t.t.Stats.Bytes.Load(), 0
	}
	return 0, k.t.t.Stats.Bytes.Load()
}

// target returns what the peer is served with, or stored in.
func (k *serverConn) target() string {
	switch {
	case k.t == nil:
		return ""
	case k.t.pulling:
		return k.t.to
	}
	return k.t.from
}

// waits returns for whom a connection waits, and since when.
func (k *serverConn) waits() (whom string, since time.Time) {
	if k.t == nil {
		return "file", time.Now()
	}
	side, since := k.t.t.Stats.Waiting()
	switch {
	case Phase(k.t.phase.Load()) == Closing:
		return "client to close", time.Now()
	case side == transfer.Neither:
		return "nobody", time.Now()
	case (side == transfer.Source) == k.t.pulling:
		return "client", since
	}
	return "file", since
}

// status tells the totals, and a line for each connection.
func (l *serverLog) status(out *Printer, most int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	total := l.total
	total.Seconds, total.Open, total.MaxConns, total.to = time.Since(l.started).Seconds(), len(l.running), most, ForEveryone
	for _, k := range l.running {
		up, down := k.bytes()
		total.UpBytes += up
		total.DownBytes += down
	}
	out.Emit(&total)
	for _, k := range l.running {
		age := time.Since(k.since).Seconds()
		row := &Row{ID: k.id, Peer: k.peer, Target: k.target(), Seconds: age}
		row.UpBytes, row.DownBytes = k.bytes()
		row.UpRate, row.DownRate = int64(float64(row.UpBytes)/age), int64(float64(row.DownBytes)/age)
		whom, since := k.waits()
		row.Waits, row.Silent = whom, time.Since(since).Seconds()
		out.Emit(row)
	}
}
