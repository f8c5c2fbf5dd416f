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

const (
	// gathered is how many bytes of headers and small bodies are written at once.
	gathered = 256 << 10
	// watched is how many files at most are kept open until the peer has acknowledged them, and
	// fewWatched where descriptors are few. They hold at least 64 KiB each, so even the few are
	// more than a socket's buffer holds by default (tcp_wmem, 4 MiB).
	watched    = 4096
	fewWatched = 128
)

// A Sender sends trees, one after the other.
type Sender struct {
	Transfer *transfer.Transfer
	Dst      *transfer.Endpoint
	Source   Source
	Count    *Count
	Measure  bool // have a walk beside the sender find out how large the stream will be

	mu     sync.Mutex
	failed error

	buf       []byte
	open      []sent // oldest first
	estimated int64  // what the members so far were estimated to be, in bytes
}

// sent is a file whose pages may be in use.
type sent struct {
	e    *transfer.Endpoint
	name string
	end  int64 // bytes of the stream up to its end
}

// Send writes the whole stream. Its error ends the command; what concerns single members was
// reported, and Failed returns the worst of it.
func (s *Sender) Send(ctx context.Context) error {
	ctx, stop := context.WithCancel(ctx)
	out := make(chan member, ahead)
	source := s.Source
	source.Report = s.report
	w := &walker{Source: &source, out: out}
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
	for {
		m, ok, err := s.next(ctx, out)
		if err != nil {
			return err
		}
		if !ok {
			break
		}
		if err := s.member(ctx, m); err != nil {
			return err
		}
		s.account(m)
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	s.buf = append(s.buf, zeroBlock[:2*blockSize]...) // the end mark
	s.Count.settled.Store(s.written())
	return s.flush(ctx)
}

// next waits for a member. Where the walk takes its time, what the peer sends is read meanwhile,
// and its end is an error.
func (s *Sender) next(ctx context.Context, out <-chan member) (m member, ok bool, err error) {
	select {
	case m, ok = <-out:
		return m, ok, nil
	default:
	}
	soon := time.NewTimer(serveAfter)
	defer soon.Stop()
	select {
	case m, ok = <-out:
		return m, ok, nil
	case <-soon.C:
	}
	if !s.Dst.Kind().Socket() {
		m, ok = <-out
		return m, ok, nil
	}
	waiting, stop := context.WithCancel(ctx)
	got := make(chan struct{})
	go func() {
		defer close(got)
		m, ok = <-out
		stop()
	}()
	if err = s.Transfer.ServeWhileWaiting(waiting, s.Dst, transfer.Source); err != nil {
		return member{}, false, err // what is got is closed by the end of the process: the walk may hang
	}
	<-got
	return m, ok, nil
}

// written is how many bytes of the stream there are, those that wait for others included.
func (s *Sender) written() int64 { return s.Transfer.Stats.Bytes.Load() + int64(len(s.buf)) }

// account corrects the estimate by what a member turned out to take.
func (s *Sender) account(m member) {
	s.estimated += m.estimate
	s.Count.ahead.Store(s.written() - s.estimated)
	if !m.dir {
		s.Count.files.Add(1)
	}
}

// drain closes what was opened ahead.
func drain(out <-chan member) {
	for m := range out {
		closeFD(m.fd)
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
	if s.failed == nil {
		return nil
	}
	return exit.Reported(s.failed)
}

func (s *Sender) flush(ctx context.Context) error {
	if len(s.buf) == 0 {
		return nil
	}
	_, err := s.Transfer.Write(ctx, s.Dst, s.buf)
	s.buf = s.buf[:0]
	return err
}

func (s *Sender) member(ctx context.Context, m member) error {
	s.buf = append(append(s.buf, m.header...), m.body...)
	s.buf = append(s.buf, zeroBlock[:padding(int64(len(m.body)))]...)
	if m.fd < 0 {
		if len(s.buf) < gathered {
			return nil
		}
		return s.flush(ctx)
	}
	e, err := transfer.Own(m.fd) // a regular file, so it closes on failure
	if err != nil {
		return err
	}
	if err := s.flush(ctx); err != nil {
		e.Close()
		return err
	}
	s.settle(mostWatched())
	s.open = append(s.open, sent{e: e, name: m.name})
	missing, err := s.spans(ctx, e, m)
	if err != nil {
		return err
	}
	s.open[len(s.open)-1].end = s.Transfer.Stats.Bytes.Load()
	return s.zeros(ctx, missing+padding(m.size))
}

// spans sends the parts of a file, and returns how many bytes are missing of the last one.
// What is missing of a span is made up for with zeros, as tar does, for the header has the size.
func (s *Sender) spans(ctx context.Context, e *transfer.Endpoint, m member) (missing int64, err error) {
	got := int64(0)
	for _, d := range m.data {
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
			s.report(&exit.Failure{Status: exit.Failed, Err: fmt.Errorf("%s: %w after %s, the rest is zeros", text.Quote(m.name), exit.Cause(side.Err), text.Size(n))})
			continue
		}
		if err != nil {
			return 0, err
		}
		if missing > 0 {
			s.report(changed(m.name, "became shorter while it was being sent: %s of %s, the rest is zeros", text.Size(got), text.Size(m.size)))
		}
	}
	return missing, nil
}

var zeroBlock [64 << 10]byte

// zeros sends zeros; a few wait for what comes after them.
func (s *Sender) zeros(ctx context.Context, n int64) error {
	if n < blockSize {
		s.buf = append(s.buf, zeroBlock[:n]...)
		return nil
	}
	for n > 0 {
		m, err := s.Transfer.Write(ctx, s.Dst, zeroBlock[:min(n, int64(len(zeroBlock)))])
		if n -= m; err != nil {
			return err
		}
	}
	return nil
}

// mostWatched leaves three quarters of the descriptors to others.
var mostWatched = sync.OnceValue(func() int {
	var limit unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &limit) != nil {
		return fewWatched
	}
	return int(min(max(uint64(limit.Cur)/4, fewWatched), watched))
})

// settle ends the watch over files that the peer has acknowledged, and over the oldest where
// more than most are open.
func (s *Sender) settle(most int) {
	queued, err := s.Dst.Unacked()
	if err != nil {
		queued = 0 // the connection is beyond use, and the transfer will say so
	}
	acked := s.Transfer.Stats.Bytes.Load() - queued
	for len(s.open) > 0 && (s.open[0].end <= acked || len(s.open) >= most) {
		s.verify(s.open[0])
		s.open = s.open[1:]
	}
}

func (s *Sender) verify(f sent) {
	switch f.e.Verify() {
	case transfer.Changed:
		s.report(changed(f.name, "changed while it was being sent: what arrived may be a mixture"))
	case transfer.Grew:
		s.Source.Note(fmt.Sprintf("%s has grown while it was being sent: what was sent is what it held at the start", text.Quote(f.name)))
	}
	f.e.Close() // it was only read from
}

// Close ends the watch over all files that were sent; when it is called the peer has closed, or
// the transfer has failed.
func (s *Sender) Close() {
	for _, f := range s.open {
		s.verify(f)
	}
	s.open = nil
}
