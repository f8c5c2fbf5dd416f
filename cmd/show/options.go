package show

import "time"

// Options is what the user wants to see.
type Options struct {
	Quiet   bool // errors only
	Verbose bool // say what is happening
	JSON    bool // events instead of text
	Explain bool // the path planned before, what ran after

	Force    bool          // the line although stderr is not a terminal, or stdout is one
	Numeric  bool          // one number per update
	Interval time.Duration // between updates; 0: 100 ms on a terminal, otherwise 1 s
}

// silent tells whether nothing of a transfer's course is shown before SIGUSR1 asks.
func (o Options) silent() bool { return o.Quiet && !o.JSON }
