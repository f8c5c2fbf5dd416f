package cmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"golang.org/x/term"

	"github.com/zcp-go/zcp/cmd/conf"
	"github.com/zcp-go/zcp/cmd/exit"
	"github.com/zcp-go/zcp/cmd/files"
	"github.com/zcp-go/zcp/cmd/show"
	"github.com/zcp-go/zcp/cmd/text"
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
	m := show.Meter{From: "the source", To: "the reader", FromNet: j.d.role == receiving}
	switch j.d.role {
	case receiving:
		m.From = "the sender"
	case sending:
		m.To = "the receiver"
	}
	j.d.enter(show.Connecting)
	j.progress = &show.Progress{Printer: j.out, Read: j.snapshot, Meter: m, DataOnTerminal: onTerminal, Attempt: j.attempted}
	j.progress.Start()
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

// connect makes the connection of a job: the one asked for, or the first that is let in. Its error is the
// job's end, which was said.
func (j *job) connect(ctx context.Context, n conf.Network) (*transfer.Conn, error) {
	m := &connector{op: j.net, net: n, out: j.out, attempt: &j.attempt}
	if err := m.prepare(ctx); err != nil {
		return nil, j.refused(err)
	}
	defer m.close()
	conn, err := m.connect(ctx)
	if err != nil {
		return nil, j.fail(err)
	}
	return conn, nil
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
	j.d.began = time.Now()
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

// peerName is what the other end of the connection is called, fit for a terminal: by the words of the user,
// with the address that these turned out to be.
func (j *job) peerName() string { return peerName(j.net, j.d.conn) }

func peerName(op conf.Operand, c *transfer.Conn) string {
	addr := nameOf(c, op)
	if op.Kind != conf.TCP || op.Listen {
		return text.Quote(addr)
	}
	ip, port, err := net.SplitHostPort(addr)
	switch {
	case err != nil || ip == op.Host:
		return op.String()
	case port == op.Port:
		return op.String() + " (" + ip + ")"
	}
	return op.String() + " (" + addr + ")"
}

// nameOf is the address of a peer, or the operand by which it was reached where it has none.
func nameOf(c *transfer.Conn, op conf.Operand) string {
	if c.Remote == "" {
		return op.Text
	}
	return c.Remote
}

// destination is what the bytes go to.
func (j *job) destination() string {
	if name := j.renamed.Load(); name != nil {
		return *name
	}
	return j.to
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

// complete tells whether as many bytes came as were promised.
func (j *job) complete(from string) error {
	n := j.d.position()
	if j.length.Size < 0 || j.length.Estimate || n >= j.length.Size {
		return nil
	}
	return &exit.Failure{Status: exit.Incomplete, Hint: "an estimate, which is never an error, is --size ~SIZE",
		Err: fmt.Errorf("%s: ended after %s, %s bytes short of --size", from, text.Size(n), text.Grouped(j.length.Size-n))}
}

// closeOrderly ends a connection on which everything was said.
func (j *job) closeOrderly() error {
	if err := j.d.conn.CloseGracefully(); err != nil {
		return fmt.Errorf("%s: everything was moved, but the connection cannot be closed: %w", j.pair(), exit.Cause(err))
	}
	return nil
}

// failure puts the error of a transfer in the user's words: the file alone where it is the
// file's, both ends where it is the connection between them, and how far it got.
func (j *job) failure(err error) error {
	at := exit.Where{Subject: j.pair(), After: j.soFar()}
	if side, ok := errors.AsType[*transfer.Error](err); ok {
		err, at.Place = side.Err, j.d.place(side.Side)
		switch {
		case at.Place == exit.Connected:
		case side.Side == transfer.Source:
			at.Subject = j.from
		case side.Side == transfer.Destination:
			at.Subject = j.destination()
			if j.stdout {
				at.Place = exit.Stdout
			}
		}
	}
	return exit.Classify(err, at)
}

// pair names both ends, and one of several targets alone.
func (j *job) pair() string {
	if j.label != "" {
		return j.label
	}
	return j.from + " to " + j.destination()
}

// ofSources is where remarks on the sources go. Of several targets one makes them.
func (j *job) ofSources() *show.Printer {
	if j.twin {
		return &show.Printer{W: io.Discard}
	}
	return j.out
}

// soFar tells the bytes delivered, and of a connection what its peer has acknowledged.
func (j *job) soFar() string {
	n, acked := j.d.bytes(), j.d.acked() // without what was there before
	if acked >= n {
		return text.Size(n)
	}
	return fmt.Sprintf("%s acknowledged (%s more were queued)", text.Size(acked), text.Size(n-acked))
}

// end prints the last line, in the form and to the audience that the command has for it.
func (j *job) end(verb, where, note string, to show.Audience, err error) {
	j.stop(err == nil)
	e := show.Done(verb, show.Snapshot{Bytes: j.d.bytes(), Acked: j.d.acked(), Offset: j.d.t.Stats.Offset.Load(), Files: j.tree.Files()}, j.took())
	e.What, e.Where, e.Later = j.movedName(), where, j.d.closedLater()
	if j.served {
		j.moved, j.note = e.Moved, note
		return
	}
	e.Path, e.Calls, e.Fallbacks = j.ran(), j.d.t.Stats.Calls.Load(), int64(len(j.d.t.Stats.Fallbacks()))
	e.Note, e.To, e.Breaks = note, to, j.breaks
	e.Verified = err == nil && j.proof.verified
	if err == nil && j.proof.say {
		e.Hash, e.Digest = j.proof.alg, j.proof.digest
	}
	if err != nil {
		e.Status, e.Error = exit.Status(err), err.Error()
	}
	j.out.Emit(e)
	if j.progress != nil && err == nil {
		j.progress.Curve()
	}
	j.explainRan()
}

// movedName is the file that was moved: what was sent, or where it was stored.
func (j *job) movedName() string {
	switch {
	case j.d.role != receiving:
		return j.from
	case j.stdout:
		return ""
	}
	return j.destination()
}

// took is the time that the bytes took, without that in which the process was stopped.
func (j *job) took() time.Duration {
	took := j.d.took()
	if j.progress != nil {
		took = max(0, took-j.progress.Stopped())
	}
	return took
}

// refused emits for --json that nothing was begun, because of err, which has its words already.
func (j *job) refused(err error) error {
	j.stop(false)
	if _, usage := errors.AsType[*exit.Usage](err); !usage {
		j.end("", "", "", show.ForMost, err)
	}
	return err
}

// fail ends a job that has no good end. It returns err in words, for Main to print.
func (j *job) fail(err error) error {
	j.stop(false)
	err = j.failure(err)
	said := j.withKept(err)
	if sig, ok := errors.AsType[*exit.Signaled](err); ok {
		said = err
		if sig != exit.StdoutClosed && !j.d.began.IsZero() {
			said = j.withKept(&exit.Failure{Err: fmt.Errorf("%s: %w after %s", j.pair(), sig, j.soFar()), Status: sig.ExitStatus()})
			if !j.served {
				j.out.Say("%v", said)
			}
		}
	} else {
		err = said
	}
	j.end("", "", "", show.ForMost, said)
	return err
}

// breakOff is fail for a job with a connection, which is reset: the peer cannot take a part
// for the whole.
func (j *job) breakOff(err error) error {
	err = j.fail(err)
	if j.d.conn != nil { // not where it has broken already, and no other came
		j.d.conn.Close()
	}
	return err
}

// withKept adds to its message what a failure left behind: on the disk, and in a descriptor that
// another program may go on reading.
func (j *job) withKept(err error) error {
	kept := j.kept
	if lost := j.d.t.Stats.Lost.Load(); lost > 0 && j.shared {
		kept = text.Size(lost) + " more were read from it and are lost"
	}
	if kept == "" {
		return err
	}
	return &exit.Failure{Err: fmt.Errorf("%w; %s", err, kept), Status: exit.Status(err), Hint: exit.Hint(err)}
}

// moveAll moves sources in turn. then gets the outcome of each, with its endpoint unless it was
// not opened, and returns the error that ends the sequence.
func (j *job) moveAll(ctx context.Context, dst *transfer.Endpoint, sources []files.Name, meanwhile files.Meanwhile,
	then func(files.Name, *transfer.Endpoint, error) error) error {
	for _, name := range sources {
		if j.left() == 0 {
			break // what is not wanted is not opened: a FIFO would wait for its writer
		}
		e, err := j.moveOne(ctx, dst, name, meanwhile)
		if err := then(name, e, err); err != nil {
			return err
		}
	}
	return nil
}

func (j *job) moveOne(ctx context.Context, dst *transfer.Endpoint, name files.Name, meanwhile files.Meanwhile) (*transfer.Endpoint, error) {
	j.d.opening.Store(true)
	e, err := files.OpenSource(ctx, name, meanwhile)
	j.d.opening.Store(false)
	if err != nil {
		return nil, err
	}
	if err := files.RefuseSame(e, dst, name); err != nil {
		return e, err
	}
	if err := j.skip(ctx, e, name); err != nil {
		return e, err
	}
	size, limit := e.Size(), j.left()
	n, err := j.d.t.Move(ctx, dst, e, limit)
	if err == nil && e.Kind() == transfer.File && n < size && (limit < 0 || n < limit) {
		err = &exit.Failure{Status: exit.Changed, Err: fmt.Errorf("%s: became shorter while it was being sent: %s of %s", name, text.Size(n), text.Size(size))}
	}
	return e, err
}

// skip leaves out the beginning of a source: by its offset where it has one, by reading it away where not.
func (j *job) skip(ctx context.Context, e *transfer.Endpoint, name files.Name) error {
	n := j.length.Skip
	if n == 0 {
		return nil
	}
	has := e.Size()
	if e.Kind() != transfer.File && e.Kind() != transfer.Block {
		var err error
		if has, err = j.readAway(ctx, e, n); err != nil {
			return err
		}
	} else if has < 0 || has >= n {
		if err := e.Skip(n); err != nil {
			return &transfer.Error{Op: "lseek", Side: transfer.Source, Err: err}
		}
		return nil
	}
	if has < n {
		return &exit.Failure{Status: exit.Incomplete, Err: fmt.Errorf("%s: holds %s, which is less than --skip %s", name, text.Bytes(has), text.Bytes(n))}
	}
	return nil
}

// readAway reads n bytes of a source, or what it has.
func (j *job) readAway(ctx context.Context, e *transfer.Endpoint, n int64) (has int64, err error) {
	b := make([]byte, min(n, 256<<10))
	for has < n {
		m, err := j.d.t.Read(ctx, e, b[:min(n-has, int64(len(b)))])
		has += int64(m)
		if err != nil || m == 0 {
			return has, err
		}
	}
	return has, nil
}

// rest is what is left of a size behind what is skipped.
func rest(size, skip int64) int64 {
	if size < 0 {
		return size
	}
	return max(0, size-skip)
}

// sourceChanged turns what became of a source into words, and into exit status 6 where the
// bytes that were sent may be a mixture.
func sourceChanged(out *show.Printer, e *transfer.Endpoint, name string) error {
	switch e.Verify() {
	case transfer.Changed:
		return &exit.Failure{Status: exit.Changed, Err: fmt.Errorf("%s: changed while it was being sent: what arrived may be a mixture", name),
			Hint: "send a snapshot, or replace files by renaming new ones over them"}
	case transfer.Grew:
		out.Say("%s has grown while it was being sent: what was sent is what it held at the start", name)
	case transfer.MetadataChanged:
		out.Detail("%s: its mode, owner or links changed while it was being sent, its contents did not", name)
	}
	return nil
}

// fileName is an operand as package files takes it.
func fileName(op conf.Operand) files.Name {
	n := files.Name{Path: op.Path, FD: op.FD, Text: op.Called()}
	switch op.Kind {
	case conf.Zero:
		n.Path = "/dev/zero"
	case conf.Null:
		n.Path = "/dev/null"
	}
	return n
}

func fileNames(ops []conf.Operand) []files.Name {
	names := make([]files.Name, len(ops))
	for i, op := range ops {
		names[i] = fileName(op)
	}
	return names
}

// named sets what the two ends are called, and how they were typed.
func (j *job) named(sources []conf.Operand, dest conf.Operand) {
	typed := func(op conf.Operand) string { return text.Quote(op.Text) }
	j.from, j.to = sourcesText(sources, conf.Operand.String), dest.String()
	j.src, j.dst = sourcesText(sources, typed), typed(dest)
}

// sourcesText is how several sources are called in one line.
func sourcesText(ops []conf.Operand, name func(conf.Operand) string) string {
	switch len(ops) {
	case 1:
		return name(ops[0])
	case 2:
		return name(ops[0]) + " and " + name(ops[1])
	}
	return name(ops[0]) + " and " + text.Grouped(int64(len(ops)-1)) + " more"
}

// isShared tells whether a source is a descriptor that the process was born with.
func isShared(sources []conf.Operand) bool {
	return slices.ContainsFunc(sources, func(op conf.Operand) bool { return op.Kind == conf.FD })
}

// isStdout tells standard output, by whatever name, from other ends: when its reader goes
// away, nothing is reported.
func isStdout(op conf.Operand) bool { return op.Kind == conf.FD && op.FD == 1 }

// onTerminal tells whether a destination shows its bytes on a terminal.
func onTerminal(op conf.Operand) bool { return op.Kind == conf.FD && term.IsTerminal(op.FD) }
