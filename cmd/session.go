package cmd

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/signal"
	"strconv"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/zcp-go/zcp/transfer"
)

// Bodies returns what the commands do. Everything they tell goes through out. What would
// leave a file or a socket behind where a signal killed it begins once listening is closed.
func Bodies(out *Printer, listening <-chan struct{}) Commands {
	return Commands{
		Send: func(ctx context.Context, c *SendConfig) error {
			<-listening
			return runSend(ctx, out, c)
		},
		Recv: func(ctx context.Context, c *RecvConfig) error {
			<-listening
			return runRecv(ctx, out, c)
		},
		Cat: func(ctx context.Context, c *CatConfig) error {
			if !isStdout(c.Dest) {
				<-listening
			}
			return runCat(ctx, out, c)
		},
		Relay: func(ctx context.Context, c *RelayConfig) error {
			<-listening
			return runRelay(ctx, out, c)
		},
	}
}

// A session is one transfer and what is shown of it.
type session struct {
	out       *Printer
	display   Display
	length    Length
	from, to  string // the operands in the user's words
	total     int64  // bytes to expect, -1 where nobody knows
	sending   bool   // to a socket, whose peer's acknowledgements count
	pulling   bool   // from a socket, whose peer has to close
	toStdout  bool   // by whatever name
	t         transfer.Transfer
	net       Operand // where the peer was met
	peer      *transfer.Conn
	announced bool // Start was told
	began     time.Time
	progress  *Progress         // nil for one of many connections
	signals   [2]chan os.Signal // SIGCONT, SIGTSTP
	tcp       transfer.TCPInfo  // taken before the connection was closed
	phase     atomic.Int32
	opening   atomic.Bool // a source is being opened: a FIFO waits for its writer
	kept      string      // what a failure left on the disk, for its message
	serving   bool        // one of many connections, whose lines are the server's
	err       error       // what a served connection ended with
}

func newSession(out *Printer, d Display, tr Transfer, l Length, idle time.Duration) *session {
	s := &session{out: out, display: d, length: l, total: l.Size}
	s.t.PipeSize, s.t.NoSplice, s.t.Idle = tr.BufferSize, tr.NoSplice, idle
	if tr.RateLimit > 0 {
		s.t.Limits = []*transfer.Limiter{{Rate: tr.RateLimit}}
	}
	s.t.Trace = s.trace
	return s
}

// peerName is what the other end of the connection is called, fit for a terminal.
func (s *session) peerName() string {
	return Quote(nameOf(s.peer, s.net))
}

// nameOf is the address of a peer, or the operand by which it was met where it has none.
func nameOf(c *transfer.Conn, op Operand) string {
	if c.Remote == "" {
		return op.Text
	}
	return c.Remote
}

// watch answers SIGUSR1 from now on, and shows progress from begin on. onTerminal says
// that the bytes themselves go to a terminal.
func (s *session) watch(onTerminal bool) {
	m := Meter{From: "the source", To: "the reader", FromNet: s.pulling}
	if s.pulling {
		m.From = "the sender"
	}
	if s.sending {
		m.To = "the receiver"
	}
	for i := range s.signals {
		s.signals[i] = make(chan os.Signal, 1)
	}
	if s.display.silent() {
		s.signals[0] = nil // nobody is told of time, and each signal costs a start 0.1 ms of switching threads
	} else {
		signal.Notify(s.signals[0], unix.SIGCONT)
	}
	s.phase.Store(int32(Connecting))
	s.progress = &Progress{Printer: s.out, Display: s.display, Read: s.snapshot, Meter: m, DataOnTerminal: onTerminal,
		Continued: s.signals[0], Stopping: s.signals[1], Suspend: suspend}
	s.progress.Start()
	s.out.onAsk(s.progress.Ask)
	if s.progress.mode == showLine && !signal.Ignored(unix.SIGTSTP) {
		signal.Notify(s.signals[1], unix.SIGTSTP)
	}
}

// begin starts the clock and the progress line.
func (s *session) begin() {
	s.began = time.Now()
	s.phase.Store(int32(Moving))
	if s.progress != nil {
		s.progress.Begin()
	}
}

// open opens a source, and lets the line say who is waited for meanwhile.
func (s *session) open(ctx context.Context, op Operand, meanwhile attend) (*transfer.Endpoint, error) {
	s.opening.Store(true)
	defer s.opening.Store(false)
	return openSource(ctx, op, meanwhile)
}

// snapshot reads the counters for whoever shows them.
func (s *session) snapshot() Snapshot {
	shot := Snapshot{Bytes: s.t.Stats.Bytes.Load(), Total: s.total, Phase: Phase(s.phase.Load())}
	if shot.Phase == Connecting || shot.Phase == Opening { // there is no peer yet whose acknowledgements could be asked for
		return shot
	}
	shot.Acked = min(s.acked(), shot.Bytes)
	switch side, _ := s.t.Stats.Waiting(); side {
	case transfer.Source:
		shot.Waiting = Source
	case transfer.Destination:
		shot.Waiting = Destination
	}
	if s.opening.Load() {
		shot.Waiting = Source
	}
	if shot.Phase == Closing && shot.Acked < shot.Bytes {
		shot.Phase, shot.Waiting = Moving, Destination
	}
	return shot
}

// announce tells that bytes begin to move and on which path. A session of several
// sources begins once.
func (s *session) announce(path transfer.Path) {
	if s.announced || s.serving {
		return
	}
	s.announced = true
	e := &Start{Src: s.from, Dst: s.to, Path: path.String()}
	if s.peer != nil {
		e.Addr = s.peer.Remote
		if _, port, err := net.SplitHostPort(e.Addr); err == nil {
			e.Port, _ = strconv.Atoi(port) // a socket's address has a number
		}
	}
	s.out.Emit(e)
}

// stop takes the progress line away; well tells that everything arrived. Only the first call counts.
func (s *session) stop(well bool) {
	if s.progress == nil {
		return
	}
	s.out.onAsk(nil)
	s.progress.Stop(well)
	for _, c := range s.signals {
		signal.Stop(c)
	}
}

// left returns how many bytes may still be moved: -S ends at the size exactly.
func (s *session) left() int64 {
	if !s.length.StopAtSize {
		return -1
	}
	return max(0, s.length.Size-s.t.Stats.Bytes.Load())
}

// closeOrderly ends a connection on which everything was said.
func (s *session) closeOrderly(conn *transfer.Conn) error {
	if err := conn.CloseOrderly(); err != nil {
		return fmt.Errorf("%s to %s: everything was moved, but the connection cannot be closed: %w", s.from, s.to, plain(err))
	}
	return nil
}

// complete tells whether as many bytes came as were promised.
func (s *session) complete(from string) error {
	n := s.t.Stats.Bytes.Load()
	if s.length.Size < 0 || n >= s.length.Size {
		return nil
	}
	return &Failure{Status: StatusIncomplete,
		Err: fmt.Errorf("%s: ended after %s, %s bytes short of --size", from, FormatSize(n), grouped(s.length.Size-n))}
}

// acked returns how many bytes the peer's kernel has acknowledged; for what is no
// socket, how many were delivered.
func (s *session) acked() int64 {
	n := s.t.Stats.Bytes.Load()
	if s.peer == nil || !s.sending {
		return n
	}
	out, err := s.peer.Unacked()
	if err != nil {
		return n
	}
	return max(0, n-out)
}

// failure puts the error of a transfer in the user's words: the operands, what
// failed, how far it got.
func (s *session) failure(err error) error {
	if _, usage := errors.AsType[*UsageError](err); err == nil || usage {
		return err
	}
	if known, ok := errors.AsType[*Failure](err); ok {
		return known
	}
	f := &Failure{Status: StatusFailed}
	var side *transfer.Error
	cause, subject := err, s.from+" to "+s.to
	if errors.As(err, &side) {
		cause = plain(side.Err)
		subject = s.sideName(side.Side)
	}
	switch {
	case errors.Is(cause, unix.EPIPE) && s.stdoutGone(side):
		return errStdoutGone
	case s.peerError(side) && (errors.Is(cause, unix.EPIPE) || errors.Is(cause, unix.ECONNRESET)):
		cause, f.Status = unix.ECONNRESET, StatusIncomplete
	case errors.Is(cause, unix.ETIMEDOUT), errors.Is(cause, transfer.ErrPeerGone), errors.Is(cause, transfer.ErrIdle),
		s.peerError(side) && unreachable(cause):
		f.Status = StatusTimeout
	}
	f.Err = fmt.Errorf("%s: %w after %s", subject, cause, s.progressSoFar())
	return f
}

// unreachable tells whether err is what TCP has heard of a network while it waited for a
// peer in vain: on a connection that stood such news only gives the silence its name (tcp(7)).
func unreachable(err error) bool {
	return errors.Is(err, unix.EHOSTUNREACH) || errors.Is(err, unix.ENETUNREACH) || errors.Is(err, unix.ENETDOWN) || errors.Is(err, unix.EHOSTDOWN)
}

// sideName names whose error it was: the neighbour alone where it is a file, both
// where it is the connection between them.
func (s *session) sideName(side transfer.Side) string {
	switch {
	case side == transfer.Source && !s.pulling:
		return s.from
	case side == transfer.Destination && !s.sending:
		return s.to
	}
	return s.from + " to " + s.to
}

func (s *session) peerError(e *transfer.Error) bool {
	return e != nil && (e.Side == transfer.Source && s.pulling || e.Side == transfer.Destination && s.sending)
}

// progressSoFar tells the bytes delivered, and of a connection what its peer has acknowledged.
func (s *session) progressSoFar() string {
	n, acked := s.t.Stats.Bytes.Load(), s.acked()
	if !s.sending || acked >= n {
		return FormatSize(n)
	}
	return fmt.Sprintf("%s acknowledged (%s more were queued)", FormatSize(acked), FormatSize(n-acked))
}

// stdoutGone tells whether the reader of standard output went away.
func (s *session) stdoutGone(e *transfer.Error) bool {
	return e != nil && e.Side == transfer.Destination && s.toStdout
}

// A Signaled error says that a signal ended the program, which is to die of it.
type Signaled struct{ Signal unix.Signal }

func (e *Signaled) Error() string { return e.Signal.String() }

// ExitStatus is what a shell makes of a process that died of the signal.
func (e *Signaled) ExitStatus() int { return 128 + int(e.Signal) }

// errStdoutGone ends the program as it ends cat: by SIGPIPE, without a word.
var errStdoutGone = &Signaled{unix.SIGPIPE}

// end tells the last line, in the form and to the audience that the command has for it.
func (s *session) end(verb, where, note string, to Audience, err error) {
	s.stop(err == nil)
	if s.serving {
		return
	}
	took := time.Since(s.began)
	if at := s.t.Stats.AllAcked.Load(); at > 0 {
		took = time.Unix(0, at).Sub(s.began)
	}
	switch {
	case s.began.IsZero():
		took = 0
	case s.progress != nil:
		took = max(0, took-s.progress.Stopped())
	}
	e := Done(verb, s.t.Stats.Bytes.Load(), s.acked(), took)
	e.Path, e.Calls, e.Fallbacks = s.ran(), s.t.Stats.Calls.Load(), int64(len(s.t.Stats.Fallbacks()))
	e.Where, e.Note, e.To = where, note, to
	if err != nil {
		e.Status, e.Error = ExitStatus(err), err.Error()
	}
	s.out.Emit(e)
	if s.progress != nil && err == nil {
		s.progress.Curve()
	}
	s.explainRan()
}

// refused tells for --json that nothing was begun, because of err, which has its words already.
func (s *session) refused(err error) error {
	s.stop(false)
	if _, usage := errors.AsType[*UsageError](err); !usage {
		s.end("", "", "", ForMost, err)
	}
	return err
}

// endFailed tells how far a transfer got that has no good end, for --json; the error
// itself is told by whoever ends the program.
func (s *session) endFailed(err error) error {
	s.stop(false)
	err = s.failure(err)
	if sig, ok := errors.AsType[*Signaled](err); ok && sig != errStdoutGone && !s.began.IsZero() && !s.serving {
		s.out.Say("%s", s.withKept(fmt.Errorf("%s to %s: %s after %s", s.from, s.to, sig.Signal, s.progressSoFar())))
	} else if !ok {
		err = s.withKept(err)
	}
	s.end("", "", "", ForMost, err)
	return err
}

// withKept adds what a failure left behind to its message.
func (s *session) withKept(err error) error {
	if s.kept == "" {
		return err
	}
	return &Failure{Err: fmt.Errorf("%w; %s", err, s.kept), Status: ExitStatus(err), Hint: hintOf(err)}
}

// sourceChanged turns what became of a source into words, and into exit status 6 where the
// bytes that were sent may be a mixture.
func sourceChanged(out *Printer, e *transfer.Endpoint, name string) error {
	switch e.Verify() {
	case transfer.Changed:
		return &Failure{Status: StatusChanged, Err: fmt.Errorf("%s: changed while it was being sent: what arrived may be a mixture", name),
			Hint: "send a snapshot, or replace files by renaming new ones over them"}
	case transfer.Grew:
		out.Say("%s has grown while it was being sent: what was sent is what it held at the start", name)
	case transfer.Touched:
		out.Detail("%s: its mode, owner or links changed while it was being sent, its contents did not", name)
	}
	return nil
}

// shrunk tells whether a file gave fewer bytes than it held at the start.
func shrunk(size, got, limit int64, name string) error {
	if size < 0 || got >= size || limit >= 0 && got >= limit {
		return nil
	}
	return &Failure{Status: StatusChanged, Err: fmt.Errorf("%s: became shorter while it was being sent: %s of %s", name, FormatSize(got), FormatSize(size))}
}

// grouped writes a number in groups of three digits.
func grouped(n int64) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
