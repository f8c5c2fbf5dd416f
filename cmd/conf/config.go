package conf

import (
	"iter"
	"net/netip"
	"os"
	"time"

	"github.com/zcp-go/zcp/cmd/text"
)

// Display is what the user wants to see.
type Display struct {
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

// Transfer is how bytes are moved.
type Transfer struct {
	RateLimit  int64 // bytes per second; 0: no limit
	BufferSize int   // of a pipe, in bytes, as far as the kernel grants it
	NoSplice   bool  // through memory
}

// Length is how much there is to move.
type Length struct {
	Size       int64 // bytes to expect; -1: not given
	Estimate   bool  // Size is only about right: it is never an error
	Skip       int64 // bytes of the source to leave out first
	StopAtSize bool  // stop after Size bytes; otherwise fewer are an error
}

// Network is how connections come to be.
type Network struct {
	Family   int            // 4 or 6; 0: either
	Bind     netip.AddrPort // source address when connecting; not valid: the kernel's choice, with this port if that is not 0
	Wait     time.Duration  // for connecting, or for a client to connect; 0: for ever
	RetryFor time.Duration  // keep trying to connect; 0: one attempt
	Idle     time.Duration  // give up without a byte; 0: never
	Allow    []netip.Prefix // peers that may connect; empty: all
	Deny     []netip.Prefix // peers that may not; stronger than Allow
	MaxConns int            // at once; 0: what the descriptor limit allows
	KeepOpen bool           // send: serve every client; recv: one file for each connection

	DSCP       int         // the traffic class of connections; 0: the system's
	SocketMode os.FileMode // of a Unix socket that is made; 0: by the umask

	Congestion string // congestion control; empty: the host's, but for peers on this host none that paces
}

// Output is how a file is written.
type Output struct {
	Append    bool
	NoClobber bool // refuse to overwrite
	Sync      bool // fsync before saying done
	Resume    bool // recv: take up what an earlier attempt has left
}

// Tree is how a directory is sent.
type Tree struct {
	Tar           bool     // sources are members of one tar stream, under their base names
	Exclude       []string // patterns of path.Match
	OneFileSystem bool     // leave out what lies on other file systems
	AnyOwner      bool     // unpacked files belong to the user who unpacks
	Special       bool     // FIFOs and devices too
	Xattrs        bool     // extended attributes and ACLs too
}

// IsTree tells whether sources are sent as one tar stream.
func (t Tree) IsTree(sources []Operand) bool { return t.Tar || sources[0].Dir }

// Proof is how it is made sure what the bytes are.
type Proof struct {
	Hash   string // sha256 or blake3: the digest to say; empty: none
	Expect string // the digest that what arrives must have, in hex; empty: any
	Verify bool   // recv: say what is stored; send: wait for that
}

// Algorithm is the one to compute: that of Hash, or sha256 where another option needs a digest.
// It is empty where no digest is wanted.
func (p Proof) Algorithm() string {
	if p.Hash == "" && (p.Expect != "" || p.Verify) {
		return "sha256"
	}
	return p.Hash
}

// Many is what several receivers need.
type Many struct {
	To       []Operand     // further network ends, which are connected to
	Next     Network       // how
	DropSlow time.Duration // reset one that alone held the others up for so long; 0: never
}

// Relaying is what only relay has.
type Relaying struct {
	HalfClose time.Duration // silence of the other side once one has ended; 0: never
	Drain     time.Duration // on SIGTERM; [NoLimit]: until they end
	Grace     time.Duration // on SIGTERM, go on accepting so long before Drain
	ExitIdle  time.Duration // end without a connection; 0: never
	RateTotal int64         // bytes per second for all together; 0: no limit
	Stats     *Operand      // where totals are served; nil: nowhere
	SendProxy int           // 1, 2: the version of the PROXY header that targets get; 0: none
	From      Proxies       // that have to say a PROXY header
	Takeover  *Operand      // where the listeners are taken from and passed on; nil: nowhere
	AsClient  bool          // connect from the client's address
	Spread    bool          // the targets of a listener take turns at being the first
}

// Proxies are peers that say a PROXY header.
type Proxies struct {
	Networks []netip.Prefix
	Unix     bool // peers of Unix sockets
}

// Send is what was asked of send.
type Send struct {
	Display
	Transfer
	Length
	Network
	Tree
	Proof
	Many
	Sources []Operand // at least one
	Net     Operand
	Linger  time.Duration // for the peer to close when all is acknowledged
	Resume  bool          // send what the receiver does not have; with RetryFor, connect again after a break
}

// Recv is what was asked of recv.
type Recv struct {
	Display
	Transfer
	Length
	Network
	Output
	Proof
	Tree
	Many
	Net  Operand
	Dest Operand // stdout where none was named; with KeepOpen its path holds %d
}

// Cat is what was asked of cat.
type Cat struct {
	Display
	Transfer
	Length
	Output
	Tree
	Proof
	Sources []Operand // stdin where none was named
	Dest    Operand   // stdout, or --output
}

// Relay is what was asked of relay.
type Relay struct {
	Display
	Transfer
	Network
	Relaying
	Pairs []Pair // at least one; more than one and ranges only without -
}

// A Pair is a listener and its targets, in the order in which they are tried.
type Pair struct {
	Listen  Operand
	Targets []Operand // at least one
}

// Each goes through the pairs for each port of a range, whose targets hold until the next.
func (p Pair) Each() iter.Seq[Pair] {
	return func(yield func(Pair) bool) {
		one := Pair{Targets: make([]Operand, len(p.Targets))}
		for i := range max(1, p.Listen.Ports) {
			one.Listen = p.Listen.Nth(i)
			for j, t := range p.Targets {
				one.Targets[j] = t.Nth(i)
			}
			if !yield(one) {
				return
			}
		}
	}
}

// String is a pair in the user's words.
func (p Pair) String() string { return p.Listen.String() + " to " + p.To() }

// To is the targets in the user's words.
func (p Pair) To() string { return text.Join(p.Targets, ",") }

// Stdio tells whether one of the ends is standard input and output.
func (r *Relay) Stdio() bool {
	return r.Pairs[0].Listen.Kind == Stdio || r.Pairs[0].Targets[0].Kind == Stdio
}

// What is the relay in the user's words.
func (r *Relay) What() string { return r.andMore(r.Pairs[0].String(), "more pair") }

// Where is what it listens on, in the user's words.
func (r *Relay) Where() string { return r.andMore(r.Pairs[0].Listen.String(), "other") }

func (r *Relay) andMore(first, more string) string {
	if n := len(r.Pairs) - 1; n > 0 {
		return first + " and " + text.Counted(int64(n), more)
	}
	return first
}

// Probe is what was asked of probe.
type Probe struct {
	Display
	Network
	Net Operand
}

// Print asks for a text on standard output: help, or a completion file.
type Print struct{ Text string }

// Version asks for the version.
type Version struct{}

// NoLimit stands for a time that never passes, where 0 means at once.
const NoLimit time.Duration = -1

// values are the values of all options, in the groups that the configs are made of. The
// setters of the table of options write into them.
type values struct {
	Display
	Transfer
	Length
	Network
	Output
	Tree
	Proof
	Many
	Relaying
	Linger time.Duration
	output string // --output
}

// defaults are the values of options that are not given. That of --wait depends on the
// network end.
func defaults() values {
	return values{
		Transfer: Transfer{BufferSize: 1 << 20}, Length: Length{Size: -1}, Linger: 10 * time.Second,
		Relaying: Relaying{HalfClose: 5 * time.Minute, Drain: NoLimit},
	}
}
