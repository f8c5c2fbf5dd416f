package tree

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/zcp-go/zcp/cmd/exit"
	"github.com/zcp-go/zcp/cmd/text"
	"github.com/zcp-go/zcp/transfer"
)

// gathered is how many bytes of headers and small bodies are written at once.
const gathered = 256 << 10

// A Sender sends trees, one after the other.
type Sender struct {
	Transfer *transfer.Transfer
	Dst      *transfer.Endpoint
	Source   Source
	Count    *Count
	Measure  bool // have a walk beside the sender find out how large the stream will be

	mu     sync.Mutex
	failed error

	ticker    *time.Ticker // of next
	owed      int64        // zeros that go before what comes next, less than a block
	open      []sent       // oldest first
	estimated int64        // what the members so far were estimated to be, in bytes
}

// Send writes the whole stream. Its error ends the command; what concerns single members was
// reported, and Failed returns the worst of it.
func (s *Sender) Send(ctx context.Context) error {
	ctx, stop := context.WithCancel(ctx)
	defer s.Transfer.Under(ctx)()
	out, spare := make(chan *batch, ahead), make(chan *batch, ahead+2)
	source := s.Source
	source.Report = s.report
	w := &walker{Source: &source, out: out, spare: spare}
	var st unix.Stat_t
	if unix.Fstat(s.Dst.FD(), &st) == nil && st.Mode&unix.S_IFMT == unix.S_IFREG {
		w.skip = inode{uint64(st.Dev), st.Ino}
	}
	go w.walk(ctx)
	if s.Measure {
		done := make(chan struct{})
		defer func() { <-done }()
		go func() {
			defer close(done)
			(&measurer{walker: w, count: s.Count}).measure(ctx)
		}()
	}
	defer drain(out)
	defer stop()
	s.ticker = time.NewTicker(serveAfter)
	defer s.ticker.Stop()
	for {
		b, ok, err := s.next(ctx, out)
		if err != nil {
			return err
		}
		if !ok {
			break
		}
		if err := s.batch(ctx, b); err != nil {
			return err
		}
		spare <- b
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	s.Count.settled.Store(s.written() + 2*blockSize)
	end := s.owed + 2*blockSize
	s.owed = 0
	return s.zeros(ctx, end) // the end mark
}

// next waits for a batch. Where the walk takes its time, what the peer sends is read meanwhile,
// and its end is an error.
func (s *Sender) next(ctx context.Context, out <-chan *batch) (b *batch, ok bool, err error) {
	select {
	case b, ok = <-out:
		return b, ok, nil
	default:
	}
	// One ticker for all waits: a timer of each one's own wakes a thread to set the clock.
	for ticks := 0; ticks < 2; { // the first one may be due already
		select {
		case b, ok = <-out:
			return b, ok, nil
		case <-s.ticker.C:
			ticks++
		}
	}
	if !s.Dst.Kind().Socket() {
		b, ok = <-out
		return b, ok, nil
	}
	waiting, stop := context.WithCancel(ctx)
	got := make(chan struct{})
	go func() {
		defer close(got)
		b, ok = <-out
		stop()
	}()
	if err = s.Transfer.ServeWhileWaiting(waiting, s.Dst, transfer.Source); err != nil {
		return nil, false, err // what is got is closed by the end of the process: the walk may hang
	}
	<-got
	return b, ok, nil
}

// written is how many bytes of the stream there are, those that are owed included.
func (s *Sender) written() int64 { return s.Transfer.Stats.Bytes.Load() + s.owed }

// drain closes what was opened ahead.
func drain(out <-chan *batch) {
	for b := range out {
		closeFD(b.large.fd)
	}
}

func (s *Sender) report(err error) {
	s.mu.Lock()
	s.failed = Worse(s.failed, err)
	s.mu.Unlock()
	s.Source.Report(err)
}

// Failed returns the worst of what was reported, marked as reported.
func (s *Sender) Failed() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return exit.Reported(s.failed)
}

// batch sends a batch, with what is owed before it, and corrects the estimate by what its members
// turned out to take.
func (s *Sender) batch(ctx context.Context, b *batch) error {
	var e *transfer.Endpoint
	if b.large.fd >= 0 {
		var err error
		if e, err = transfer.Own(b.large.fd); err != nil { // a regular file, so it closes on failure
			return err
		}
	}
	from := blockSize - s.owed
	clear(b.buf[from:blockSize])
	s.owed = 0
	if _, err := s.Transfer.Write(ctx, s.Dst, b.buf[from:]); err != nil {
		if e != nil {
			e.Close()
		}
		return err
	}
	if e != nil {
		if err := s.large(ctx, e, b.large); err != nil {
			return err
		}
	}
	s.estimated += b.estimate
	s.Count.ahead.Store(s.written() - s.estimated)
	s.Count.files.Add(b.files)
	return nil
}

// large sends a body from its file.
func (s *Sender) large(ctx context.Context, e *transfer.Endpoint, l large) error {
	s.settle(mostWatched())
	s.open = append(s.open, sent{e: e, name: l.name})
	missing, err := s.spans(ctx, e, l)
	if err != nil {
		return err
	}
	s.open[len(s.open)-1].end = s.Transfer.Stats.Bytes.Load()
	missing += padding(l.size)
	s.owed = missing & (blockSize - 1)
	return s.zeros(ctx, missing-s.owed)
}

// spans sends the parts of a file, and returns how many bytes are missing of the last one.
// What is missing of a span is made up for with zeros, as tar does, for the header has the size.
func (s *Sender) spans(ctx context.Context, e *transfer.Endpoint, l large) (missing int64, err error) {
	got := int64(0)
	for _, d := range l.data {
		if err := s.zeros(ctx, missing); err != nil {
			return 0, err
		}
		missing = d.n
		if d.n == 0 {
			continue
		}
		if _, err := unix.Seek(e.FD(), d.off, unix.SEEK_SET); err != nil {
			return 0, &transfer.Error{Op: "lseek", Side: transfer.Source, Err: err}
		}
		n, err := s.Transfer.MoveSegment(ctx, s.Dst, transfer.Segment{From: e, N: d.n})
		missing -= n
		got += n
		if side, ok := errors.AsType[*transfer.Error](err); ok && side.Side == transfer.Source && ctx.Err() == nil {
			s.report(&exit.Failure{Status: exit.Failed, Err: fmt.Errorf("%s: %w after %s, the rest is zeros", text.Quote(l.name), exit.Cause(side.Err), text.Size(n))})
			continue
		}
		if err != nil {
			return 0, err
		}
		if missing > 0 {
			s.report(changed(l.name, "became shorter while it was being sent: %s of %s, the rest is zeros", text.Size(got), text.Size(l.size)))
		}
	}
	return missing, nil
}

var zeroBlock [64 << 10]byte

// zeros sends zeros.
func (s *Sender) zeros(ctx context.Context, n int64) error {
	for n > 0 {
		m, err := s.Transfer.Write(ctx, s.Dst, zeroBlock[:min(n, int64(len(zeroBlock)))])
		if n -= m; err != nil {
			return err
		}
	}
	return nil
}
