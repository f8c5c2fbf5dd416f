package cmd

import (
	"strings"

	"github.com/zcp-go/zcp/cmd/show"
)

// watch shows the slowest delivery, and answers SIGUSR1 with a row for each.
func (f *fanout) watch(onTerminal bool) {
	f.d.enter(show.Connecting)
	f.progress = &show.Progress{Printer: f.out, Read: f.snapshot, Rows: f.rows, Attempt: f.attempted, DataOnTerminal: onTerminal,
		Meter: show.Meter{From: "the source", To: "the receiver"}}
	f.progress.Start()
}

// attempted tells of a connection that is being made, the first of several.
func (f *fanout) attempted() (show.Attempt, bool) {
	for _, t := range f.targets {
		if a, ok := t.attempted(); ok {
			return a, true
		}
	}
	return show.Attempt{}, false
}

// counts are the bytes of a target.
func (t *target) counts() show.Snapshot {
	return show.Snapshot{Bytes: t.d.bytes(), Acked: t.d.acked(), Offset: t.d.t.Stats.Offset.Load()}
}

// snapshot is that of the slowest delivery that runs. Before there is any it is one that
// connects, and after the last one the slowest of all.
func (f *fanout) snapshot() show.Snapshot {
	f.mu.Lock()
	defer f.mu.Unlock()
	best, rank := show.Snapshot{}, -1
	have := 0
	for _, t := range f.targets {
		s := t.d.snapshot()
		r := 2 // it runs
		switch {
		case t.ended && t.err == nil:
			r = 1
			have++
		case t.ended:
			r = 0
		case s.Phase == show.Connecting || s.Phase == show.Opening:
			r = 1
		}
		s.To = t.label
		if r > rank || r == rank && s.Offset+s.Acked < best.Offset+best.Acked {
			best, rank = s, r
		}
	}
	if f.moving && (best.Phase == show.Connecting || best.Phase == show.Opening) {
		best.Phase, best.Waiting = show.Moving, show.Destination
	}
	best.Total = f.total.Load()
	best.About = f.length.Estimate && best.Total == f.length.Size
	best.Targets, best.Ended = len(f.targets), have
	return best
}

// rows are the table of targets.
func (f *fanout) rows() []show.Event {
	f.mu.Lock()
	defer f.mu.Unlock()
	var rows []show.Event
	for _, t := range f.targets {
		took := t.d.took()
		if t.ended {
			took = t.took
		}
		rows = append(rows, show.RowOf(t.label, t.counts(), took, t.state()))
	}
	return rows
}

// state says in words how far a target is.
func (t *target) state() string {
	s := t.d.snapshot()
	switch {
	case t.ended && t.err == nil:
		return "done"
	case t.ended:
		return strings.TrimPrefix(t.reason(), t.label+": ")
	case s.Phase == show.Connecting:
		return "connecting"
	case s.Phase == show.Closing:
		return "waiting for the peer to close"
	case s.Waiting == show.Destination:
		return "waiting for the receiver"
	case s.Waiting == show.Source:
		return "waiting for the source"
	}
	return "sending"
}
