package show

import (
	"time"

	"github.com/zcp-go/zcp/cmd/text"
)

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

func (e *End) line() (string, string, Audience) {
	if e.Error != "" {
		return "end", "", e.To // the error has its own line
	}
	msg := e.Moved.line(e.Bytes, e.Files)
	if e.Offset > 0 {
		msg += ", " + text.Size(e.Offset) + " were there before"
	}
	if e.Breaks > 0 {
		msg += ", " + text.Counted(int64(e.Breaks), "break")
	}
	if e.Note != "" {
		msg += ", " + e.Note
	}
	if e.Later >= worthSaying {
		msg += "; the sender closed " + text.Duration(e.Later) + " later"
	}
	return "end", msg, e.To
}

// worthSaying is how late a sender has to close to be told of it.
const worthSaying = time.Second

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

func (e *Digest) line() (string, string, Audience) {
	return "digest", e.Hash + " " + e.Check, ForEveryone
}

// Delivered is the end of one of several deliveries.
type Delivered struct {
	Head
	Target string `json:"target"`
	Counts
	Status int    `json:"status"`
	Error  string `json:"error,omitempty"`

	Moved `json:"-"`
	Note  string   `json:"-"` // how the target ended
	To    Audience `json:"-"` // of an error
}

func (e *Delivered) line() (string, string, Audience) {
	if e.Error != "" {
		return "delivery", e.Error, e.To
	}
	msg := e.Moved.line(e.Bytes, 0)
	if e.Note != "" {
		msg += ", " + e.Note
	}
	return "delivery", msg, ForVerbose
}

// DeliveryOf makes the end of a delivery whose counters stood at s.
func DeliveryOf(target string, s Snapshot, m Moved) *Delivered {
	s.Offset, s.Files = 0, 0 // they are the job's
	return &Delivered{Target: target, Counts: countsOf(s, m.Took, meanRate(s.Bytes, m.Took)), Moved: m}
}

// TargetRow is one row of the table of several deliveries.
type TargetRow struct {
	Head
	Target string `json:"target"`
	Counts
	State string `json:"state"`
}

// RowOf makes the row of a delivery whose counters stand at s after took.
func RowOf(target string, s Snapshot, took time.Duration, state string) *TargetRow {
	s.Offset, s.Files = 0, 0 // they are the job's
	return &TargetRow{Target: target, Counts: countsOf(s, took, meanRate(s.Acked, took)), State: state}
}

func (e *TargetRow) line() (string, string, Audience) {
	return "target", e.Target + ": " + text.Size(e.Acked) + " [" + text.Rate(e.Rate) + "] " + e.State, ForEveryone
}
