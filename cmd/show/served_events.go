package show

import (
	"fmt"
	"time"

	"github.com/zcp-go/zcp/cmd/text"
)

// Denied says that a client was reset because of --allow or --deny.
type Denied struct {
	Head
	Peer string `json:"peer"`
}

func (e *Denied) line() (string, string, Audience) {
	return "denied", "denied " + e.Peer + " (reset)", ForVerbose
}

// The endings of connections that are not a relay's. A relay has more.
const (
	EndedWell = "ended"
	Failed    = "failed"
)

// EndingOf is that of a connection that has ended with err.
func EndingOf(err error) string {
	if err != nil {
		return Failed
	}
	return EndedWell
}

// Open says that a relay has a new connection.
type Open struct {
	Head
	ID     uint64 `json:"id"` // counts from 1
	Peer   string `json:"peer"`
	Target string `json:"target"`
}

func (e *Open) line() (string, string, Audience) {
	return "open", fmt.Sprintf("#%d %s to %s", e.ID, e.Peer, e.Target), ForVerbose
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
	Ending    string  `json:"ending"` // the same in a word, for programs
}

func (e *Close) line() (string, string, Audience) {
	took := time.Duration(e.Seconds * float64(time.Second))
	return "close", fmt.Sprintf("#%d %s to %s: up %s, down %s in %s: %s", e.ID, e.Peer, e.Target,
		text.Size(e.UpBytes), text.Size(e.DownBytes), text.Duration(took), e.Reason), ForVerbose
}

// A Served is the Close of one of many connections that bytes move in one direction over.
type Served struct {
	Close
	Moved `json:"-"`
	Fine  bool   `json:"-"` // otherwise the error has its own line
	Note  string `json:"-"` // "verified"
}

func (e *Served) line() (string, string, Audience) {
	if !e.Fine {
		return "close", "", ForMost
	}
	msg := e.Moved.line(e.UpBytes+e.DownBytes, 0)
	if e.Note != "" {
		msg += ", " + e.Note
	}
	return "close", msg, ForMost
}
