package cmd

import (
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/zcp-go/zcp/cmd/conf"
	"github.com/zcp-go/zcp/cmd/exit"
	"github.com/zcp-go/zcp/cmd/show"
	"github.com/zcp-go/zcp/cmd/text"
	"github.com/zcp-go/zcp/transfer/relay"
)

// A relayLog prints what a relay does. The event loops hand their events over without
// waiting: a slow reader of stderr must not be able to stop them.
type relayLog struct {
	out     *show.Printer
	c       *conf.Relay
	events  chan relay.Event
	lost    chan struct{} // a token for each event that was dropped
	quit    chan struct{}
	done    chan struct{}
	asked   chan struct{}
	line    *show.StatusLine
	heard   atomic.Int32 // listeners that have said where they are
	addrs   []string     // where, for the first of them
	service serviceStatus
}

const (
	relayLogBuffer    = 4096 // events that may wait for a slow reader of stderr
	relayLogListeners = 16   // whose addresses are known here
)

func newRelayLog(out *show.Printer, c *conf.Relay) *relayLog {
	l := &relayLog{out: out, c: c, events: make(chan relay.Event, relayLogBuffer), lost: make(chan struct{}, 1<<20),
		quit: make(chan struct{}), done: make(chan struct{}), asked: make(chan struct{}, 1), line: out.StatusLine()}
	out.OnAsk(func() { show.Notify(l.asked) })
	return l
}

func (l *relayLog) add(e relay.Event) {
	if e.Kind == relay.Listening && l.heard.Add(1) > relayLogListeners {
		return // a range has thousands
	}
	select {
	case l.events <- e:
	default:
		show.Notify(l.lost) // a million lost lines are as good as more
	}
}

func (l *relayLog) watch(r *relay.Relay) { go l.run(r) }

// close waits until everything is printed.
func (l *relayLog) close() {
	l.out.OnAsk(nil)
	close(l.quit)
	<-l.done
}

func (l *relayLog) run(r *relay.Relay) {
	defer close(l.done)
	defer l.line.Close()
	var tick <-chan time.Time
	line := show.RelayLine{From: l.c.Where(), To: l.c.Pairs[0].To(), Bits: l.c.Bits}
	if l.line != nil {
		t := time.NewTicker(relayLineInterval)
		defer t.Stop()
		tick = t.C
	}
	update, stop := l.service.ticks()
	defer stop()
	l.explain("plan", r.Totals())
	for {
		select {
		case e := <-l.events:
			l.print(r, e)
		case <-l.asked:
			l.status(r)
		case <-l.line.Stopping():
			l.line.Suspend()
		case now := <-tick:
			l.line.Draw(func(columns int) string { return line.Render(totalsOf(r.Totals(), show.ForMost), now, columns) })
		case <-update:
			l.service.tell(r.Totals())
		case <-l.quit:
			l.last(r)
			return
		}
	}
}

// last prints what is left.
func (l *relayLog) last(r *relay.Relay) {
	for {
		select {
		case e := <-l.events:
			l.print(r, e)
			continue
		default:
		}
		if n := len(l.lost); n > 0 {
			l.out.Say("%s lines of the log were dropped: stderr was not read in time", text.Grouped(int64(n)))
		}
		t := r.Totals()
		l.out.Emit(totalsOf(t, show.ForVerbose))
		l.explain("ran", t)
		return
	}
}

func (l *relayLog) explain(when string, t relay.Totals) {
	msg := "each direction through memory while its steps are small, by splice through a borrowed pipe of " + text.Size(int64(l.c.BufferSize)) + " while they are large"
	if l.c.NoSplice {
		msg = "each direction through memory"
	}
	if when == "ran" {
		msg = fmt.Sprintf("up %s, down %s in %s", text.Size(t.Up), text.Size(t.Down), text.Counted(t.Closed, "connection"))
		if t.NoPipe > 0 {
			msg += fmt.Sprintf("; %s steps through memory because no pipe was available", text.Grouped(t.NoPipe))
		}
	}
	l.out.Explain(when, "%s", msg)
}

// print prints one event of the relay.
func (l *relayLog) print(r *relay.Relay, e relay.Event) {
	switch e.Kind {
	case relay.Listening:
		if l.addrs = append(l.addrs, e.Addr); len(l.addrs) == 1 {
			sayMost(l.out, l.c.Where(), l.c.MaxConns, r.Totals().MaxConns)
		}
	case relay.Opened:
		l.out.Emit(&show.Open{ID: e.Conn.ID, Peer: e.Conn.Peer, Target: e.Conn.Target})
	case relay.Closed:
		if e.Reason == relay.NoHeader {
			l.out.Emit(&show.Unreachable{Close: *l.closed(e), Text: fmt.Sprintf("%s: reset: %s", e.Conn.Peer, exit.Reason(e.Err, exit.Connected))})
			return
		}
		l.out.Emit(l.closed(e))
	case relay.Unreachable:
		u := &show.Unreachable{Close: *l.closed(e)}
		u.Text = fmt.Sprintf("%s: cannot reach %s: %s", e.Conn.Peer, text.Quote(u.Target), exit.Reason(e.Err, exit.Connecting))
		l.out.Emit(u)
	case relay.Denied:
		l.out.Emit(&show.Denied{Peer: e.Conn.Peer})
	case relay.AcceptPaused:
		l.out.Emit(&show.Trouble{Error: fmt.Sprintf("%s: not accepting for now: %s (%s open)", l.c.Where(), exit.Reason(e.Err, exit.Listening), text.Counted(int64(e.Open), "connection")), Status: exit.Failed})
	case relay.Draining:
		l.service.tell(r.Totals())
		where := l.c.Where()
		if l.c.Pairs[0].Listen.Kind == conf.SD { // the user's word says nothing
			where = strings.Join(l.addrs, ", ")
		}
		if e.Open == 0 {
			l.out.Say("%s: stopped; nothing was open", where)
			return
		}
		l.out.Say("%s: no longer accepting; %s still open", where, text.Counted(int64(e.Open), "connection"))
	}
}

func (l *relayLog) closed(e relay.Event) *show.Close {
	target := e.Conn.Target
	if target == "" {
		target = l.target(e.Conn)
	}
	return &show.Close{ID: e.Conn.ID, Peer: e.Conn.Peer, Target: target, UpBytes: e.Conn.Up, DownBytes: e.Conn.Down,
		Seconds: e.Conn.Age.Seconds(), Reason: ending(e), Ending: endings[e.Reason]}
}

// target names the targets of a client that has reached none.
func (l *relayLog) target(c relay.ConnInfo) string {
	if len(l.c.Pairs) == 1 && l.c.Pairs[0].Listen.Ports < 2 {
		var words []string
		for _, t := range l.c.Pairs[0].Targets {
			words = append(words, t.Text)
		}
		return strings.Join(words, ",")
	}
	return strings.Join(c.Targets, ",")
}

// endings are why a connection ended, each in the word that programs read (zcp(1), JSON EVENTS).
var endings = [...]string{relay.Ended: show.EndedWell, relay.ClientReset: "client_reset", relay.TargetReset: "target_reset",
	relay.ClientFailed: "client_failed", relay.TargetFailed: "target_failed", relay.TargetUnreachable: "target_unreachable",
	relay.IdleTooLong: "idle", relay.HalfClosedTooLong: "half_close", relay.Stopped: "stopped", relay.Failed: show.Failed,
	relay.NoHeader: "no_header", relay.NotAdmitted: "denied"}

// ending says why a connection ended, in words that need no table.
func ending(e relay.Event) string {
	msg := e.Reason.String()
	switch e.Reason {
	case relay.IdleTooLong:
		msg = "reset by --idle: no byte either way"
	case relay.HalfClosedTooLong:
		msg = "reset by --half-close: one side had ended, the other was silent"
	case relay.TargetUnreachable:
		msg += causeOf(e.Err, exit.Connecting)
	case relay.ClientFailed, relay.TargetFailed, relay.Failed, relay.NoHeader:
		msg += causeOf(e.Err, exit.Connected)
	}
	if e.Dropped > 0 {
		msg += fmt.Sprintf(" (%s on the way were dropped)", text.Size(e.Dropped))
	}
	return msg
}

func causeOf(err error, at exit.Place) string {
	if err == nil {
		return ""
	}
	return ": " + exit.Reason(err, at)
}

func totalsOf(t relay.Totals, to show.Audience) *show.Totals {
	return &show.Totals{Seconds: t.Age.Seconds(), Open: t.Open, Accepted: t.Accepted, Denied: t.Denied, Unreachable: t.Unreachable,
		Closed: t.Closed, Broken: t.Broken, UpBytes: t.Up, DownBytes: t.Down, Dropped: t.Dropped, NoPipe: t.NoPipe, NoHeader: t.NoHeader,
		Pipes: t.Pipes, MaxConns: t.MaxConns, To: to}
}

func rowOf(c relay.ConnInfo) *show.Row {
	return &show.Row{ID: c.ID, Peer: c.Peer, Target: c.Target, Listener: c.Listener, Seconds: c.Age.Seconds(), Silent: c.Silent.Seconds(),
		UpBytes: c.Up, DownBytes: c.Down, UpRate: c.UpRate, DownRate: c.DownRate, Waits: c.Waits.String()}
}

func sharesOf(what string, figures []relay.Figures) (shares []*show.Share) {
	for _, f := range figures {
		shares = append(shares, &show.Share{What: what, Addr: f.Addr, Open: f.Open, Total: f.Total, Failed: f.Failed,
			PassedOver: f.PassedOver, UpBytes: f.Up, DownBytes: f.Down})
	}
	return shares
}

// status answers SIGUSR1 with the totals and the table of connections.
func (l *relayLog) status(r *relay.Relay) {
	l.out.Emit(totalsOf(r.Totals(), show.ForEveryone))
	if listeners, targets := r.Listeners(), r.Targets(); len(listeners) > 1 || len(targets) > 1 {
		for _, share := range append(sharesOf("listener", listeners), sharesOf("target", targets)...) {
			if share.Total+share.Failed > 0 { // a range has thousands
				l.out.Emit(share)
			}
		}
	}
	for _, c := range r.Table() {
		l.out.Emit(rowOf(c))
	}
}

const relayLineInterval = 500 * time.Millisecond
