package show

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/zcp-go/zcp/cmd/text"
)

// Unreachable is the Close of a client that was reset because its target could not be
// reached, or its PROXY header was wrong. It has a line without -v.
type Unreachable struct {
	Close
	Text string `json:"-"`
}

func (e *Unreachable) line() (string, string, Audience) { return "close", e.Text, ForMost }

// Totals are a relay's figures: the answer to SIGUSR1, and its last word.
type Totals struct {
	Head
	Seconds     float64  `json:"seconds"` // since it began
	Open        int      `json:"open"`    // connections now
	Accepted    int64    `json:"accepted"`
	Denied      int64    `json:"denied"`      // denied by --allow or --deny
	Unreachable int64    `json:"unreachable"` // reset because the target was not reached
	Closed      int64    `json:"closed"`
	Broken      int64    `json:"broken"` // of these by a reset, an error or a limit
	UpBytes     int64    `json:"up_bytes"`
	DownBytes   int64    `json:"down_bytes"`
	Dropped     int64    `json:"dropped_bytes"` // read from one side that could not be written to the other
	NoHeader    int64    `json:"no_header"`     // reset because they said no valid PROXY header
	NoPipe      int64    `json:"no_pipe"`       // times that bytes went through memory because no pipe was available
	Pipes       int      `json:"pipes"`         // open now
	MaxConns    int      `json:"max_conns"`
	To          Audience `json:"-"`
}

func (e *Totals) line() (string, string, Audience) {
	msg := fmt.Sprintf("%d open (limit %s), %s closed, %s failed, %s up, %s down in %s", e.Open, text.Grouped(int64(e.MaxConns)),
		text.Grouped(e.Closed), text.Grouped(e.Broken), text.Size(e.UpBytes), text.Size(e.DownBytes),
		text.Duration(time.Duration(e.Seconds*float64(time.Second))))
	for _, n := range []struct {
		n    int64
		what string
	}{{e.Denied, "denied"}, {e.Unreachable, "target unreachable"}, {e.NoHeader, "without a PROXY header"}, {e.NoPipe, "times without a pipe"}} {
		if n.n > 0 {
			msg += fmt.Sprintf(", %s %s", text.Grouped(n.n), n.what)
		}
	}
	return "totals", msg, e.To
}

// Row is one connection of a relay's table.
type Row struct {
	Head
	ID        uint64  `json:"id"`
	Peer      string  `json:"peer"`
	Target    string  `json:"target"`
	Listener  string  `json:"listener,omitempty"` // where it was accepted
	Seconds   float64 `json:"seconds"`
	Silent    float64 `json:"silent"` // seconds since a byte moved
	UpBytes   int64   `json:"up_bytes"`
	DownBytes int64   `json:"down_bytes"`
	UpRate    int64   `json:"up_rate"` // bytes per second, lately
	DownRate  int64   `json:"down_rate"`
	Waits     string  `json:"waits"` // what it waits for
	Bits      bool    `json:"-"`     // rates are shown in bits
}

func (e *Row) inBits() { e.Bits = true }

func (e *Row) line() (string, string, Audience) {
	seconds := func(s float64) string { return text.Duration(time.Duration(s * float64(time.Second))) }
	return "connection", fmt.Sprintf("#%d %s to %s: %s old, up %s (%s), down %s (%s), waits for: %s (%s)", e.ID, e.Peer, e.Target, seconds(e.Seconds),
		text.Size(e.UpBytes), rateText(float64(e.UpRate), e.Bits), text.Size(e.DownBytes), rateText(float64(e.DownRate), e.Bits),
		e.Waits, seconds(e.Silent)), ForEveryone
}

// A Share is what has passed one listener of a relay, or one target.
type Share struct {
	Head
	Addr       string `json:"addr"`
	Open       int    `json:"open"`        // connections now
	Total      int64  `json:"total"`       // connections accepted, or made
	Failed     int64  `json:"failed"`      // targets: times that it was not reached
	PassedOver bool   `json:"passed_over"` // targets: it failed lately, others are tried first
	UpBytes    int64  `json:"up_bytes"`
	DownBytes  int64  `json:"down_bytes"`
	What       string `json:"-"` // listener, target
}

func (e *Share) line() (string, string, Audience) {
	msg := fmt.Sprintf("%s %s: %d open, %s in all, %s up, %s down", e.What, text.Quote(e.Addr), e.Open, text.Grouped(e.Total), text.Size(e.UpBytes), text.Size(e.DownBytes))
	if e.Failed > 0 {
		msg += fmt.Sprintf(", %s failed", text.Grouped(e.Failed))
	}
	if e.PassedOver {
		msg += ", passed over"
	}
	return e.What, msg, ForEveryone
}

// A RelayLine is the one line that a relay shows on a terminal.
type RelayLine struct {
	From, To string // the operands
	Bits     bool   // the rate is shown in bits
	speed    Speed
}

// Render writes the line for a terminal of that many columns. What does not fit is left
// out, the least needed first.
func (l *RelayLine) Render(t *Totals, now time.Time, columns int) string {
	l.speed.Add(now, t.UpBytes+t.DownBytes)
	counts := fmt.Sprintf("%d open, %s done", t.Open, text.Grouped(t.Closed))
	bytes := fmt.Sprintf("up %s down %s", text.Size(t.UpBytes), text.Size(t.DownBytes))
	speed := "[" + rateText(l.speed.Recent(), l.Bits) + "]"
	for _, msg := range []string{
		"relay " + l.From + " -> " + l.To + "  " + counts + "  " + bytes + "  " + speed,
		counts + "  " + bytes + "  " + speed,
		counts + "  " + speed,
		counts,
	} {
		if len(msg) < columns {
			return msg
		}
	}
	return ""
}

// totals are Totals without their methods, which the page would have to wrap.
type totals Totals

// StatsPage is the JSON of --stats: the totals, the listeners and targets, and the table of connections.
func StatsPage(t *Totals, listeners, targets []*Share, rows []*Row) []byte {
	now := time.Now()
	t.set("totals", "", now)
	for _, row := range rows {
		row.set("connection", "", now)
	}
	for _, share := range append(listeners[:len(listeners):len(listeners)], targets...) {
		share.set(share.What, "", now)
	}
	page := struct {
		totals
		Listeners   []*Share `json:"listeners"`
		Targets     []*Share `json:"targets"`
		Connections []*Row   `json:"connections"`
	}{totals(*t), append([]*Share{}, listeners...), append([]*Share{}, targets...), append([]*Row{}, rows...)}
	b, err := json.MarshalIndent(page, "", " ")
	if err != nil { // there is nothing in it that JSON cannot hold
		return []byte("{}\n")
	}
	return append(b, '\n')
}
