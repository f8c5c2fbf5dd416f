package cmd

import (
	"slices"
	"sync"
	"time"

	"github.com/zcp-go/zcp/cmd/show"
	"github.com/zcp-go/zcp/transfer"
)

// A serverLog knows what the connections of a server do, for SIGUSR1.
type serverLog struct {
	started time.Time

	mu      sync.Mutex
	running []*served   // in the order in which they came
	total   show.Totals // of those that have ended; Accepted counts all
	sampler *time.Timer // takes the speed of each connection; stands still while there is none
}

// samplePeriod is how often speeds are sampled: rates are those of the last two seconds.
const samplePeriod = time.Second

// A served is one connection of a server.
type served struct {
	id    uint64
	peer  string
	since time.Time
	job   *job       // nil: not begun
	speed show.Speed // of its one direction
}

func (l *serverLog) open(peer string) *served {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.total.Accepted++
	k := &served{id: uint64(l.total.Accepted), peer: peer, since: time.Now()}
	k.speed.Add(k.since, 0)
	l.running = append(l.running, k)
	if l.sampler == nil {
		l.sampler = time.AfterFunc(samplePeriod, l.sample)
	} else if len(l.running) == 1 {
		l.sampler.Reset(samplePeriod)
	}
	return k
}

func (l *serverLog) sample() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, k := range l.running {
		k.sample(time.Now())
	}
	if len(l.running) > 0 {
		l.sampler.Reset(samplePeriod)
	}
}

func (k *served) sample(now time.Time) {
	up, down := k.bytes()
	k.speed.Add(now, up+down)
}

// stop ends the sampling.
func (l *serverLog) stop() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.running = nil; l.sampler != nil {
		l.sampler.Stop()
	}
}

func (l *serverLog) denied() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.total.Denied++
}

func (l *serverLog) begin(k *served, j *job) {
	l.mu.Lock()
	defer l.mu.Unlock()
	k.job = j
}

func (l *serverLog) close(k *served, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.running = slices.DeleteFunc(l.running, func(o *served) bool { return o == k })
	up, down := k.bytes()
	l.total.UpBytes += up
	l.total.DownBytes += down
	l.total.Closed++
	if err != nil {
		l.total.Broken++
	}
}

// bytes returns how many came from the peer, and how many went to it.
func (k *served) bytes() (up, down int64) {
	switch {
	case k.job == nil:
		return 0, 0
	case k.job.d.role == receiving:
		return k.job.d.bytes(), 0
	}
	return 0, k.job.d.bytes()
}

// target returns what the peer is served with, or stored in.
func (k *served) target() string {
	switch {
	case k.job == nil:
		return ""
	case k.job.d.role == receiving:
		return k.job.destination()
	}
	return k.job.from
}

// waits returns what a connection waits for, and since when.
func (k *served) waits() (what string, since time.Time) {
	if k.job == nil {
		return "file", time.Now()
	}
	d := k.job.d
	side, since := d.t.Stats.Waiting()
	switch {
	case show.Phase(d.phase.Load()) == show.Closing:
		return "client to close", time.Now()
	case side == transfer.Neither:
		return "nothing", time.Now()
	case (side == transfer.Source) == (d.role == receiving):
		return "client", since
	}
	return "file", since
}

// status prints the totals, and a line for each connection.
func (l *serverLog) status(out *show.Printer, limit int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	total := l.total
	total.Seconds, total.Open, total.MaxConns, total.To = time.Since(l.started).Seconds(), len(l.running), limit, show.ForEveryone
	for _, k := range l.running {
		up, down := k.bytes()
		total.UpBytes += up
		total.DownBytes += down
	}
	out.Emit(&total)
	for _, k := range l.running {
		out.Emit(k.row(time.Now()))
	}
}

func (k *served) row(now time.Time) *show.Row {
	k.sample(now)
	row := &show.Row{ID: k.id, Peer: k.peer, Target: k.target(), Seconds: now.Sub(k.since).Seconds()}
	row.UpBytes, row.DownBytes = k.bytes()
	if rate := int64(k.speed.Recent()); row.UpBytes > 0 {
		row.UpRate = rate
	} else {
		row.DownRate = rate
	}
	what, since := k.waits()
	row.Waits, row.Silent = what, now.Sub(since).Seconds()
	return row
}
