package cmd

import (
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"github.com/zcp-go/zcp/transfer"
)

// print tells one event of the relay.
func (l *relayLog) print(r *transfer.Relay, e transfer.RelayEvent) {
	switch e.Kind {
	case transfer.RelayListening:
		if !l.begun {
			l.begun = true
			sayMost(l.out, l.c.Listen, l.c.MaxConns, r.Totals().MaxConns)
		}
	case transfer.RelayOpened:
		l.out.Emit(&Open{ID: e.Conn.ID, Peer: e.Conn.Peer, Target: e.Conn.Target})
	case transfer.RelayClosed:
		l.out.Emit(l.closed(e))
	case transfer.RelayUnreachable:
		u := &Unreachable{Close: *l.closed(e)}
		u.Text = fmt.Sprintf("%s: %s for %s", l.c.Target, u.Reason, e.Conn.Peer)
		l.out.Emit(u)
	case transfer.RelayDenied:
		l.out.Detail("%s may not connect: reset", e.Conn.Peer)
	case transfer.RelayAcceptPaused:
		l.out.Emit(&Trouble{Error: fmt.Sprintf("%s: clients wait: %v (%d connections are open)", l.c.Listen, e.Err, e.Open), Status: StatusFailed})
	case transfer.RelayDraining:
		l.out.Say("%s: no new connections, %d are still open", l.c.Listen, e.Open)
	}
}

func (l *relayLog) closed(e transfer.RelayEvent) *Close {
	target := e.Conn.Target
	if target == "" {
		target = l.c.Target.Text
	}
	return &Close{ID: e.Conn.ID, Peer: e.Conn.Peer, Target: target, UpBytes: e.Conn.Up, DownBytes: e.Conn.Down,
		Seconds: e.Conn.Age.Seconds(), Reason: ending(e)}
}

// ending says why a connection ended, in words that need no table.
func ending(e transfer.RelayEvent) string {
	text := e.Reason.String()
	cause := plain(innermostOf(e.Err))
	switch e.Reason {
	case transfer.IdleTooLong:
		text = "reset by --idle: no byte either way"
	case transfer.HalfClosedTooLong:
		text = "reset by --half-close: one side had ended, the other said nothing"
	case transfer.TargetUnreachable, transfer.ClientFailed, transfer.TargetFailed, transfer.Failed:
		if cause != nil {
			text += ": " + cause.Error()
		}
	}
	if e.Dropped > 0 {
		text += fmt.Sprintf(" (%s on the way were dropped)", FormatSize(e.Dropped))
	}
	return text
}

func innermostOf(err error) error {
	var timeout interface{ Timeout() bool }
	switch {
	case err == nil:
		return nil
	case errors.As(err, &timeout) && timeout.Timeout() && !errors.Is(err, unix.EAGAIN):
		return errors.New("no answer in time")
	}
	return innermost(err)
}

// Unreachable is a client that was reset because its target could not be reached; it is
// told to everybody who is told anything.
type Unreachable struct {
	Close
	Text string `json:"-"`
}

func (e *Unreachable) line() (string, Audience) { return e.Text, ForMost }

// Totals are a relay's figures: the answer to SIGUSR1, and its last word.
type Totals struct {
	Head
	Seconds     float64 `json:"seconds"` // since it began
	Open        int     `json:"open"`    // connections now
	Accepted    int64   `json:"accepted"`
	Denied      int64   `json:"denied"`      // turned away by --allow and --deny
	Unreachable int64   `json:"unreachable"` // reset because the target was not reached
	Closed      int64   `json:"closed"`
	Broken      int64   `json:"broken"` // of these by a reset, an error or a limit
	UpBytes     int64   `json:"up_bytes"`
	DownBytes   int64   `json:"down_bytes"`
	Dropped     int64   `json:"dropped_bytes"` // taken from one side, and the other was gone
	NoPipe      int64   `json:"no_pipe"`       // times that bytes went through memory for want of a pipe
	Pipes       int     `json:"pipes"`         // open now
	MaxConns    int     `json:"max_conns"`
	to          Audience
}

func totalsOf(t transfer.RelayTotals, to Audience) *Totals {
	return &Totals{Seconds: t.Age.Seconds(), Open: t.Open, Accepted: t.Accepted, Denied: t.Denied, Unreachable: t.Unreachable,
		Closed: t.Closed, Broken: t.Broken, UpBytes: t.Up, DownBytes: t.Down, Dropped: t.Dropped, NoPipe: t.NoPipe,
		Pipes: t.Pipes, MaxConns: t.MaxConns, to: to}
}

func (e *Totals) stamp(now time.Time) { e.set("totals", now) }
func (e *Totals) line() (string, Audience) {
	text := fmt.Sprintf("%d open of at most %s, %s closed (%s broken), up %s, down %s in %s", e.Open, grouped(int64(e.MaxConns)),
		grouped(e.Closed), grouped(e.Broken), FormatSize(e.UpBytes), FormatSize(e.DownBytes),
		FormatDuration(time.Duration(e.Seconds*float64(time.Second))))
	for _, n := range []struct {
		n    int64
		what string
	}{{e.Denied, "denied"}, {e.Unreachable, "target unreachable"}, {e.NoPipe, "times without a pipe"}} {
		if n.n > 0 {
			text += fmt.Sprintf(", %s %s", grouped(n.n), n.what)
		}
	}
	return text, e.to
}

// Row is one connection of a relay's table.
type Row struct {
	Head
	ID        uint64  `json:"id"`
	Peer      string  `json:"peer"`
	Target    string  `json:"target"`
	Seconds   float64 `json:"seconds"`
	Silent    float64 `json:"silent"` // seconds since a byte moved
	UpBytes   int64   `json:"up_bytes"`
	DownBytes int64   `json:"down_bytes"`
	UpRate    int64   `json:"up_rate"` // bytes a second, lately
	DownRate  int64   `json:"down_rate"`
	Waits     string  `json:"waits"` // for whom it waits
}

func rowOf(c transfer.RelayConn) *Row {
	return &Row{ID: c.ID, Peer: c.Peer, Target: c.Target, Seconds: c.Age.Seconds(), Silent: c.Silent.Seconds(),
		UpBytes: c.Up, DownBytes: c.Down, UpRate: c.UpRate, DownRate: c.DownRate, Waits: c.Waits.String()}
}

func (e *Row) stamp(now time.Time) { e.set("connection", now) }
func (e *Row) line() (string, Audience) {
	seconds := func(s float64) string { return FormatDuration(time.Duration(s * float64(time.Second))) }
	return fmt.Sprintf("#%d %s to %s: %s old, up %s (%s), down %s (%s), waits for: %s (%s)", e.ID, e.Peer, e.Target, seconds(e.Seconds),
		FormatSize(e.UpBytes), FormatRate(float64(e.UpRate)), FormatSize(e.DownBytes), FormatRate(float64(e.DownRate)),
		e.Waits, seconds(e.Silent)), ForEveryone
}

// status answers SIGUSR1 with the totals and the table of connections.
func (l *relayLog) status(r *transfer.Relay) {
	l.out.Emit(totalsOf(r.Totals(), ForEveryone))
	for _, c := range r.Table() {
		l.out.Emit(rowOf(c))
	}
}

const relayLineInterval = 500 * time.Millisecond

// A relayLine is the one line that a relay shows on a terminal.
type relayLine struct {
	from, to string
	lastN    int64
	lastT    time.Time
}

func (l *relayLine) render(t transfer.RelayTotals, now time.Time, columns int) string {
	rate := 0.0
	if d := now.Sub(l.lastT).Seconds(); !l.lastT.IsZero() && d > 0 {
		rate = float64(t.Up+t.Down-l.lastN) / d
	}
	l.lastN, l.lastT = t.Up+t.Down, now
	counts := fmt.Sprintf("%d open, %s done", t.Open, grouped(t.Closed))
	bytes := fmt.Sprintf("up %s down %s", FormatSize(t.Up), FormatSize(t.Down))
	speed := "[" + FormatRate(rate) + "]"
	for _, text := range []string{
		"relay " + l.from + " -> " + l.to + "  " + counts + "  " + bytes + "  " + speed,
		counts + "  " + bytes + "  " + speed,
		counts + "  " + speed,
		counts,
	} {
		if len(text) < columns {
			return text
		}
	}
	return ""
}
