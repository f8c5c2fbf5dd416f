package show

import (
	"time"

	"github.com/zcp-go/zcp/cmd/text"
)

// Options is what the user wants to see.
type Options struct {
	Quiet   bool // errors only
	Verbose bool // say what is happening
	JSON    bool // events instead of text
	Explain bool // the path planned before, what ran after

	Force    bool          // the line although stderr is not a terminal, or stdout is one
	Numeric  bool          // one number per update
	Interval time.Duration // between updates; 0: 100 ms on a terminal, otherwise 1 s
	Delay    time.Duration // no line before

	Name    string // of this zcp among several: in the line, the messages and the events
	Bits    bool   // rates in bits
	LogTime bool   // the time before every line of text
}

// rateText writes bytes per second, in bits where these are wanted.
func rateText(perSecond float64, bits bool) string {
	if bits {
		return text.BitRate(perSecond)
	}
	return text.Rate(perSecond)
}

// silent tells whether nothing of a transfer's course is shown before SIGUSR1 asks.
func (o Options) silent() bool { return o.Quiet && !o.JSON }
