package show

import (
	"cmp"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/zcp-go/zcp/cmd/text"
)

// Event is something worth reporting: one line of text for people, or one flat
// JSON object. The names and meanings of the JSON fields are a contract
// (zcp(1), JSON EVENTS): fields may be added, none is renamed or removed. Strings
// hold the user's words; bytes that are not UTF-8 become U+FFFD.
type Event interface {
	// line is what the event is called, its text for people, "" where there is none, and the audience of that.
	line() (event, msg string, to Audience)
	// set writes the fields that every event has; label is the name of this zcp, where it has one.
	set(event, label string, now time.Time)
}

// Audience says with which options a line of text is printed. All events go out as JSON, but for
// -q, which leaves only those with ForEveryone.
type Audience uint8

const (
	ForMost     Audience = iota // unless -q
	ForVerbose                  // only with -v
	ForEveryone                 // with -q too
)

// Head starts every event: what it is, and when it was said (RFC 3339, UTC).
type Head struct {
	Event string `json:"event"`
	Time  string `json:"time"`
	Label string `json:"label,omitempty"` // the name of this zcp, with --name
}

func (h *Head) set(event, label string, now time.Time) {
	h.Event, h.Label, h.Time = event, label, now.UTC().Format("2006-01-02T15:04:05.000000Z")
}

// Listening says where a listener waits.
type Listening struct {
	Head
	Addr   string `json:"addr"` // [::]:40123, or the path of a Unix socket
	Port   int    `json:"port"` // 0 where there is none
	Picked bool   `json:"-"`    // the kernel chose the port: it is said even with -q
	Here   string `json:"-"`    // for people, with the addresses that others reach it at; may be empty
	There  string `json:"-"`    // what to type at the other end; may be empty
}

func (e *Listening) line() (string, string, Audience) {
	msg := "listening on " + cmp.Or(e.Here, e.Addr)
	if e.There != "" {
		msg += "; there: " + e.There
	}
	if e.Picked {
		return "listening", msg, ForEveryone
	}
	return "listening", msg, ForMost
}

// Start says that bytes begin to move.
type Start struct {
	Head
	Src  string `json:"src"`  // the operands in the user's words
	Dst  string `json:"dst"`  //
	From string `json:"-"`    // the same, as they are called in messages
	Into string `json:"-"`    //
	Path string `json:"path"` // the way planned: sendfile, splice, ...
	Addr string `json:"addr"` // of the peer, or where we listen; "" without a network
	Port int    `json:"port"`
}

func (e *Start) line() (string, string, Audience) {
	msg := e.From + " to " + e.Into
	if e.Path != "" {
		msg += " by " + e.Path
	}
	if e.Addr != "" {
		msg += " (" + e.Addr + ")"
	}
	return "start", msg, ForVerbose
}

// Counts are the numbers of a transfer so far. Bytes that were at the destination before it
// began are only in Offset.
type Counts struct {
	Bytes   int64   `json:"bytes"`   // delivered to the destination
	Acked   int64   `json:"acked"`   // of these acknowledged by the peer's kernel
	Seconds float64 `json:"seconds"` // since the first byte could move
	Rate    float64 `json:"rate"`    // bytes per second, without Offset
	Offset  int64   `json:"offset,omitempty"`
	Files   int64   `json:"files,omitempty"` // of a tree
}

// countsOf makes Counts with numbers that JSON can hold.
func countsOf(s Snapshot, took time.Duration, rate float64) Counts {
	if math.IsNaN(rate) || math.IsInf(rate, 0) {
		rate = 0
	}
	return Counts{s.Bytes, s.Acked, math.Round(took.Seconds()*1e6) / 1e6, math.Round(rate), s.Offset, s.Files}
}

// Progressed is a tick of --json, with the rate of the recent past.
type Progressed struct {
	Head
	Counts
	Size int64  `json:"size"`           // bytes to expect, -1 where it is not known
	Wait string `json:"wait,omitempty"` // "stalled 12s, waiting for the receiver"

	to Audience
}

func (e *Progressed) line() (string, string, Audience) { return "progress", "", e.to } // msg is drawn, not said

// Break says that a connection has broken and that the next one is waited for.
type Break struct {
	Head
	Error  string `json:"error"`
	Status int    `json:"status"` // the exit status if no other connection comes
	Breaks int    `json:"breaks"` // so many so far

	Patience time.Duration `json:"-"` // how long the next one is waited for
}

func (e *Break) line() (string, string, Audience) {
	return "break", fmt.Sprintf("%s; waiting %s for another connection", e.Error, text.Duration(e.Patience)), ForMost
}

// Trouble is an error as an event.
type Trouble struct {
	Head
	Error  string `json:"error"`
	Hint   string `json:"hint,omitempty"`
	Status int    `json:"status"` // the exit status if this ends the program
}

func (e *Trouble) line() (string, string, Audience) { return "error", e.Error, ForEveryone }

// Note is a remark in words.
type Note struct {
	Head
	Message string   `json:"message"`
	To      Audience `json:"-"`
}

func (e *Note) line() (string, string, Audience) { return "note", e.Message, e.To }

// Probed says that a connection could be made.
type Probed struct {
	Head
	Target  string  `json:"target"`
	Addr    string  `json:"addr"`
	Seconds float64 `json:"seconds"`

	Peer string `json:"-"` // for people
}

func (e *Probed) line() (string, string, Audience) {
	return "probe", e.Peer + " takes connections", ForMost
}

// Explained is a part of what --explain prints: when is "plan" or "ran".
type Explained struct {
	Head
	When string `json:"when"`
	Text string `json:"text"` // one line
}

func (e *Explained) line() (string, string, Audience) {
	return "explain", strings.TrimSuffix(e.When+": "+e.Text, "\n"), ForMost
}
