package cmd

import (
	"context"
	"net"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/zcp-go/zcp/cmd/conf"
	"github.com/zcp-go/zcp/cmd/show"
	"github.com/zcp-go/zcp/cmd/tree"
	"github.com/zcp-go/zcp/transfer"
	"github.com/zcp-go/zcp/transfer/rate"
)

// A job is what a command was asked to do, in the user's words: names, the expected size,
// what is shown, and the verdict. Its delivery moves the bytes.
type job struct {
	d        *delivery
	out      *show.Printer
	length   conf.Length
	from, to string       // as messages call the ends
	src, dst string       // the same, as they were typed
	note     string       // likewise, how its connection ended
	moved    show.Moved   // of a job that is served, when it has ended well
	net      conf.Operand // the network end, if there is one
	total    atomic.Int64 // bytes to expect, -1 where that is not known
	breaks   int          // connections that have broken and were followed by another
	stdout   bool         // the destination is standard output, by whatever name
	shared   bool         // a source is a descriptor that other programs may read
	served   bool         // one of many connections, whose lines are the server's
	label    string       // one of several targets: its name, before what is said of it
	next     *chain       // to whom a receiver passes on what it stores; may be nil
	twin     bool         // another of them speaks of the sources
	progress *show.Progress
	started  bool                   // Start was emitted
	renamed  atomic.Pointer[string] // the destination, where it is not called to; a status line reads it
	proof    proofOf
	heard    hearing                      // what the receiver said, for a sender
	stored   storedProof                  // for a receiver
	tree     tree.Count                   // of a job that moves one
	kept     string                       // what a failure left on the disk, for its message
	attempt  atomic.Pointer[show.Attempt] // to connect; nil: none was made

	// hello runs when the connection stands and before bytes move, for what comes first:
	// recv opens DST there. Its error ends the job, and resets the connection.
	hello func(ctx context.Context, conn *transfer.Conn) error
}

func newJob(out *show.Printer, r role, tr conf.Transfer, l conf.Length, idle time.Duration) *job {
	j := &job{d: &delivery{role: r}, out: out, length: l}
	j.total.Store(l.Size)
	j.d.t.PipeSize, j.d.t.NoSplice, j.d.t.Idle = tr.BufferSize, tr.NoSplice, idle
	if tr.RateLimit > 0 {
		j.d.t.Limits = []*rate.Limiter{{Rate: tr.RateLimit}}
	}
	j.d.t.Trace = j.trace
	return j
}

// watch answers SIGUSR1 from now on, and shows progress from begin on. onTerminal says
// that the bytes themselves go to a terminal.
func (j *job) watch(onTerminal bool) {
	j.d.enter(show.Connecting)
	j.progress = &show.Progress{Printer: j.out, Read: j.snapshot, Meter: j.sides(), DataOnTerminal: onTerminal, Attempt: j.attempted}
	j.progress.Start()
}

// typedThere is what the other end is started with.
func (j *job) typedThere(flags ...string) string {
	if j.proof.verify {
		flags = append(flags, "--verify")
	}
	return typedThere(j.d.role, j.proof.members || strings.HasSuffix(j.src, "/") || strings.HasSuffix(j.dst, "/"), flags...)
}

// sides are what the ends of a job are called where they are waited for.
func (j *job) sides() show.Meter {
	m := show.Meter{From: "the source", To: "the reader", FromNet: j.d.role == receiving}
	switch j.d.role {
	case receiving:
		m.From = "the sender"
	case sending:
		m.To = "the receiver"
	}
	return m
}

// snapshot is the delivery's, with what the job expects.
func (j *job) snapshot() show.Snapshot {
	s := j.d.snapshot()
	s.Total = j.total.Load()
	s.About = j.length.Estimate && s.Total == j.length.Size
	if s.Files = j.tree.Files(); s.Total < 0 {
		s.Total = j.tree.Size()
	}
	return s
}

func (j *job) attempted() (show.Attempt, bool) {
	if a := j.attempt.Load(); a != nil {
		return *a, true
	}
	return show.Attempt{}, false
}

// over makes the connection of a job, the one asked for or the first that is let in, and delivers over it. Its
// error is the job's end, which was said.
func (j *job) over(ctx context.Context, n conf.Network, deliver func(*transfer.Conn) error) error {
	m := &connector{op: j.net, net: n, out: j.out, attempt: &j.attempt, there: j.typedThere()}
	if err := m.prepare(ctx); err != nil {
		return j.refused(err)
	}
	defer m.close()
	conn, err := m.connect(ctx)
	if err != nil {
		return j.fail(err)
	}
	return deliver(conn)
}

// attach gives the job its connection, lets hello run, and begins. After an error the job is
// over and the connection reset.
func (j *job) attach(ctx context.Context, conn *transfer.Conn) error {
	j.d.connect(conn)
	if j.hello != nil {
		j.d.enter(show.Opening)
		if err := j.hello(ctx, conn); err != nil {
			return j.breakOff(err)
		}
	}
	j.begin()
	return nil
}

// begin starts the clock and the progress line.
func (j *job) begin() {
	j.d.begin()
	j.d.enter(show.Moving)
	if j.progress != nil {
		j.progress.Begin()
	}
}

// stop takes the progress line away; well tells that everything arrived. Only the first call counts.
func (j *job) stop(well bool) {
	if j.progress != nil {
		j.progress.Stop(well)
	}
}

// announce emits Start when the path is known. A job of several sources starts once.
func (j *job) announce(path transfer.Path) {
	if j.started || j.served {
		return
	}
	j.started = true
	e := &show.Start{Src: j.src, Dst: j.dst, From: j.from, Into: j.destination(), Path: path.String()}
	if name := j.renamed.Load(); name != nil {
		e.Dst = *name
	}
	if j.d.conn != nil {
		e.Addr = j.d.conn.Remote
		if _, port, err := net.SplitHostPort(e.Addr); err == nil {
			e.Port, _ = strconv.Atoi(port) // a socket's address has a number
		}
	}
	j.out.Emit(e)
}

// left returns how many bytes may still be moved: -S ends at the size exactly.
func (j *job) left() int64 {
	if !j.length.StopAtSize {
		return -1
	}
	return max(0, j.length.Size-j.d.bytes())
}
