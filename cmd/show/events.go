package show

import (
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
	// line is the text for people, "" where there is none, and its audience.
	line() (msg string, to Audience)
	// stamp writes the two fields that every event has.
	stamp(now time.Time)
	// label writes the name of this zcp, where it has one.
	label(name string)
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

func (h *Head) label(name string) { h.Label = name }

func (h *Head) set(event string, now time.Time) {
	h.Event, h.Time = event, now.UTC().Format("2006-01-02T15:04:05.000000Z")
}

// Listening says where a listener waits.
type Listening struct {
	Head
	Addr   string `json:"addr"` // [::]:40123, or the path of a Unix socket
	Port   int    `json:"port"` // 0 where there is none
	Picked bool   `json:"-"`    // the kernel chose the port: it is said even with -q
}

func (e *Listening) stamp(now time.Time) { e.set("listening", now) }
func (e *Listening) line() (string, Audience) {
	if e.Picked {
		return "listening on " + e.Addr, ForEveryone
	}
	return "listening on " + e.Addr, ForMost
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

func (e *Start) stamp(now time.Time) { e.set("start", now) }
func (e *Start) line() (string, Audience) {
	msg := e.From + " to " + e.Into
	if e.Path != "" {
		msg += " by " + e.Path
	}
	if e.Addr != "" {
		msg += " (" + e.Addr + ")"
	}
	return msg, ForVerbose
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

func (e *Progressed) stamp(now time.Time)      { e.set("progress", now) }
func (e *Progressed) line() (string, Audience) { return "", e.to } // msg is drawn, not said

// End is the last word on a transfer. Its rate is the mean over all of it.
type End struct {
	Head
	Counts
	Path      string `json:"path,omitempty"` // the way that ran
	Calls     int64  `json:"calls"`          // system calls that moved bytes
	Fallbacks int64  `json:"fallbacks"`      // paths the kernel refused
	Breaks    int    `json:"breaks,omitempty"`
	Hash      string `json:"hash,omitempty"`
	Digest    string `json:"digest,omitempty"`   // of what was moved
	Verified  bool   `json:"verified,omitempty"` // the receiver has stored what was sent
	Status    int    `json:"status"`             // the exit status
	Error     string `json:"error,omitempty"`

	Moved `json:"-"`
	Note  string        `json:"-"` // "acknowledged; the peer kept its side open"
	Later time.Duration `json:"-"` // how long after the last byte the sender closed
	To    Audience      `json:"-"`
}

// Moved says what was moved and where, for people.
type Moved struct {
	Verb  string        // sent, received, copied
	What  string        // the file, in the user's words; may be empty
	Where string        // "to host:9000 (10.0.0.2)"; may be empty
	Took  time.Duration // to the last acknowledged byte, or the last that arrived
	Bits  bool          // the rate is shown in bits
}

func (m *Moved) inBits() { m.Bits = true }

// line is the sentence for n bytes, of a tree for so many files.
func (m Moved) line(n, files int64) string {
	msg := m.Verb + " "
	if m.What != "" {
		msg += m.What + ", "
	}
	if files > 0 {
		msg += text.Counted(files, "file") + ", "
	}
	msg += text.Bytes(n)
	if m.Where != "" {
		msg += ", " + m.Where
	} else if m.What != "" {
		msg += ","
	}
	took := text.Duration(m.Took)
	if m.Took < time.Millisecond {
		took = "less than 1ms"
	}
	msg += " in " + took
	if rate := meanRate(n, m.Took); rate > 0 {
		msg += " (" + rateText(rate, m.Bits) + ")"
	}
	return msg
}

// Done makes the end of a transfer whose counters stood at s when it had taken took.
func Done(verb string, s Snapshot, took time.Duration) *End {
	return &End{Moved: Moved{Verb: verb, Took: took}, Counts: countsOf(s, took, meanRate(s.Bytes, took))}
}

func (e *End) stamp(now time.Time) { e.set("end", now) }
func (e *End) line() (string, Audience) {
	if e.Error != "" {
		return "", e.To // the error has its own line
	}
	msg := e.Moved.line(e.Bytes, e.Files)
	if e.Offset > 0 {
		msg += ", " + text.Size(e.Offset) + " were there before"
	}
	if e.Breaks > 0 {
		msg += ", " + breaks(e.Breaks)
	}
	if e.Note != "" {
		msg += ", " + e.Note
	}
	if e.Later >= worthSaying {
		msg += "; the sender closed " + text.Duration(e.Later) + " later"
	}
	return msg, e.To
}

// worthSaying is how late a sender has to close to be told of it.
const worthSaying = time.Second

func breaks(n int) string {
	if n == 1 {
		return "1 break"
	}
	return text.Grouped(int64(n)) + " breaks"
}

// meanRate is bytes per second, 0 where the time is too short to measure.
func meanRate(n int64, took time.Duration) float64 {
	if took < time.Millisecond {
		return 0
	}
	return float64(n) / took.Seconds()
}

// Digest is what the bytes of one transfer hash to.
type Digest struct {
	Head
	Hash   string `json:"hash"`   // the algorithm
	Digest string `json:"digest"` // in hex
	Name   string `json:"name"`   // of the file; - where there is not exactly one

	Check string `json:"-"` // both as sha256sum -c reads them
}

func (e *Digest) stamp(now time.Time)      { e.set("digest", now) }
func (e *Digest) line() (string, Audience) { return e.Hash + " " + e.Check, ForEveryone }

// Break says that a connection has broken and that the next one is waited for.
type Break struct {
	Head
	Error  string `json:"error"`
	Status int    `json:"status"` // the exit status if no other connection comes
	Breaks int    `json:"breaks"` // so many so far

	Patience time.Duration `json:"-"` // how long the next one is waited for
}

func (e *Break) stamp(now time.Time) { e.set("break", now) }
func (e *Break) line() (string, Audience) {
	return fmt.Sprintf("%s; waiting %s for another connection", e.Error, text.Duration(e.Patience)), ForMost
}

// Trouble is an error as an event.
type Trouble struct {
	Head
	Error  string `json:"error"`
	Hint   string `json:"hint,omitempty"`
	Status int    `json:"status"` // the exit status if this ends the program
}

func (e *Trouble) stamp(now time.Time)      { e.set("error", now) }
func (e *Trouble) line() (string, Audience) { return e.Error, ForEveryone }

// Note is a remark in words.
type Note struct {
	Head
	Message string   `json:"message"`
	To      Audience `json:"-"`
}

func (e *Note) stamp(now time.Time)      { e.set("note", now) }
func (e *Note) line() (string, Audience) { return e.Message, e.To }

// Probed says that a connection could be made.
type Probed struct {
	Head
	Target  string  `json:"target"`
	Addr    string  `json:"addr"`
	Seconds float64 `json:"seconds"`

	Peer string `json:"-"` // for people
}

func (e *Probed) stamp(now time.Time) { e.set("probe", now) }
func (e *Probed) line() (string, Audience) {
	return e.Peer + " takes connections", ForMost
}

// Open says that a relay has a new connection.
type Open struct {
	Head
	ID     uint64 `json:"id"` // counts from 1
	Peer   string `json:"peer"`
	Target string `json:"target"`
}

func (e *Open) stamp(now time.Time) { e.set("open", now) }
func (e *Open) line() (string, Audience) {
	return fmt.Sprintf("#%d %s to %s", e.ID, e.Peer, e.Target), ForVerbose
}

// Close says that a connection of a relay has ended, and why.
type Close struct {
	Head
	ID        uint64  `json:"id"`
	Peer      string  `json:"peer"`
	Target    string  `json:"target"`
	UpBytes   int64   `json:"up_bytes"`   // from the peer to the target
	DownBytes int64   `json:"down_bytes"` // from the target to the peer
	Seconds   float64 `json:"seconds"`
	Reason    string  `json:"reason"`
}

func (e *Close) stamp(now time.Time) { e.set("close", now) }
func (e *Close) line() (string, Audience) {
	took := time.Duration(e.Seconds * float64(time.Second))
	return fmt.Sprintf("#%d %s to %s: up %s, down %s in %s: %s", e.ID, e.Peer, e.Target,
		text.Size(e.UpBytes), text.Size(e.DownBytes), text.Duration(took), e.Reason), ForVerbose
}

// A Served is the Close of one of many connections that bytes move in one direction over.
type Served struct {
	Close
	Moved `json:"-"`
	Fine  bool   `json:"-"` // otherwise the error has its own line
	Note  string `json:"-"` // "verified"
}

func (e *Served) stamp(now time.Time) { e.Close.stamp(now) }
func (e *Served) line() (string, Audience) {
	if !e.Fine {
		return "", ForMost
	}
	msg := e.Moved.line(e.UpBytes+e.DownBytes, 0)
	if e.Note != "" {
		msg += ", " + e.Note
	}
	return msg, ForMost
}

// Explained is a part of what --explain prints: when is "plan" or "ran".
type Explained struct {
	Head
	When string `json:"when"`
	Text string `json:"text"` // one line
}

func (e *Explained) stamp(now time.Time) { e.set("explain", now) }
func (e *Explained) line() (string, Audience) {
	return strings.TrimSuffix(e.When+": "+e.Text, "\n"), ForMost
}
