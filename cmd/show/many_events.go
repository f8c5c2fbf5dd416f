package show

import (
	"time"

	"github.com/zcp-go/zcp/cmd/text"
)

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

func (e *Delivered) stamp(now time.Time) { e.set("delivery", now) }
func (e *Delivered) line() (string, Audience) {
	if e.Error != "" {
		return e.Error, e.To
	}
	msg := e.Moved.line(e.Bytes, 0)
	if e.Note != "" {
		msg += ", " + e.Note
	}
	return msg, ForVerbose
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

func (e *TargetRow) stamp(now time.Time) { e.set("target", now) }
func (e *TargetRow) line() (string, Audience) {
	return e.Target + ": " + text.Size(e.Acked) + " [" + text.Rate(e.Rate) + "] " + e.State, ForEveryone
}
