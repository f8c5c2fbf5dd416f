package cmd

import (
	"net/netip"
	"time"
)

// Display is what the user wants to see.
type Display struct {
	Quiet   bool // errors only
	Verbose bool // say what is happening
	JSON    bool // events instead of text
	Explain bool // the path planned before, what ran after

	Force    bool          // the line although stderr is no terminal, or stdout is one
	Numeric  bool          // one number a tick
	Interval time.Duration // between updates; 0: 100 ms on a terminal, otherwise 1 s
}

// silent tells whether nothing of a transfer's course is told before somebody asks.
func (d Display) silent() bool { return d.Quiet && !d.JSON }

// Transfer is how bytes are moved.
type Transfer struct {
	RateLimit  int64 // bytes a second; 0: as fast as it goes
	BufferSize int   // of a pipe, in bytes, as far as the kernel grants it
	NoSplice   bool  // through memory
}

// Length is how much there is to move.
type Length struct {
	Size       int64 // bytes to expect; -1: nobody said
	StopAtSize bool  // stop after Size bytes; otherwise fewer are an error
}

// Network is how connections come to be.
type Network struct {
	Family   int            // 4 or 6; 0: either
	Bind     netip.AddrPort // source address when connecting; zero: the kernel's choice
	Wait     time.Duration  // for connecting, or for somebody to connect; 0: for ever
	RetryFor time.Duration  // keep trying to connect; 0: one attempt
	Idle     time.Duration  // give up without a byte; 0: never
	Allow    []netip.Prefix // who may connect; empty: everyone
	Deny     []netip.Prefix // who may not; stronger than Allow
	MaxConns int            // at once; 0: what the descriptor limit allows
}

// Output is how a file is written.
type Output struct {
	Append    bool
	NoClobber bool // refuse to overwrite
	Sync      bool // fsync before saying done
}

// SendConfig is what was asked of send.
type SendConfig struct {
	Display
	Transfer
	Length
	Network
	Sources  []Operand // at least one
	Net      Operand
	KeepOpen bool          // serve the sources to everyone who connects
	Linger   time.Duration // for the peer to close when all is acknowledged
}

// RecvConfig is what was asked of recv.
type RecvConfig struct {
	Display
	Transfer
	Length
	Network
	Output
	Net      Operand
	Dest     Operand // stdout where none was named
	KeepOpen bool    // one file for each connection; Dest.Path holds %d
}

// CatConfig is what was asked of cat.
type CatConfig struct {
	Display
	Transfer
	Length
	Output
	Sources []Operand // stdin where none was named
	Dest    Operand   // stdout, or --output
}

// RelayConfig is what was asked of relay.
type RelayConfig struct {
	Display
	Transfer
	Network
	Listen    Operand
	Target    Operand
	HalfClose time.Duration // silence of the other side once one has ended; 0: never
	Drain     time.Duration // on SIGTERM; [NoLimit]: until they end
	ExitIdle  time.Duration // end without a connection; 0: never
	RateTotal int64         // bytes a second for all together; 0: no limit
	Stats     *Operand      // where totals are served; nil: nowhere
}

// NoLimit stands for a time that never passes, where 0 means at once.
const NoLimit time.Duration = -1

// Defaults of the times, as cli.md's table gives them.
const (
	defaultWait      = 10 * time.Second // for connecting; for somebody to connect there is none
	defaultLinger    = 10 * time.Second
	defaultHalfClose = 5 * time.Minute
)

func (s *settings) display() Display {
	return Display{
		Quiet: s.has("quiet"), Verbose: s.has("verbose"), JSON: s.has("json"), Explain: s.has("explain"),
		Force: s.has("force"), Numeric: s.has("numeric"), Interval: s.interval,
	}
}

func (s *settings) transfer() Transfer {
	t := Transfer{RateLimit: s.rateLimit, BufferSize: defaultBuffer, NoSplice: s.has("no-splice")}
	if s.has("buffer-size") {
		t.BufferSize = int(s.bufferSize)
	}
	return t
}

func (s *settings) length() Length {
	l := Length{Size: -1, StopAtSize: s.has("stop-at-size")}
	if s.has("size") {
		l.Size = s.size
	}
	return l
}

func (s *settings) outputFlags() Output {
	return Output{Append: s.has("append"), NoClobber: s.has("no-clobber"), Sync: s.has("sync")}
}

// network collects the flags of a network end; wait is what holds where -w is
// not given.
func (s *settings) network(wait time.Duration) Network {
	n := Network{Bind: s.bind, Wait: wait, RetryFor: s.retryFor, Idle: s.idle, MaxConns: s.maxConns}
	switch {
	case s.has("4"):
		n.Family = 4
	case s.has("6"):
		n.Family = 6
	}
	if s.has("wait") {
		n.Wait = s.wait
	}
	if s.has("allow") {
		n.Allow = s.allow
	}
	if s.has("deny") {
		n.Deny = s.deny
	}
	return n
}

// timeOr is a time that was given, or what holds where it was not.
func (s *settings) timeOr(name string, given, otherwise time.Duration) time.Duration {
	if s.has(name) {
		return given
	}
	return otherwise
}
