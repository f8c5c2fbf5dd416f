package proof

import (
	"context"
	"hash"
	"io"
	"sync/atomic"
	"time"
)

// followPause is how long a Follower that has caught up waits before it looks again.
const followPause = 10 * time.Millisecond

// A Follower hashes a file from its beginning, as it is stored, a little behind its writer.
type Follower struct {
	hash hash.Hash
	file io.ReaderAt
	upTo func() int64
	stop context.CancelFunc
	done chan struct{}
	last atomic.Int64 // where it is to end; -1: not known yet
	n    atomic.Int64 // bytes hashed
	err  error        // of the goroutine until done is closed
}

// Follow begins to hash. upTo, which is called beside the caller, returns how many bytes are
// there to be hashed now.
func Follow(alg string, file io.ReaderAt, upTo func() int64) *Follower {
	ctx, stop := context.WithCancel(context.Background())
	f := &Follower{hash: New(alg), file: file, upTo: upTo, stop: stop, done: make(chan struct{})}
	f.last.Store(-1)
	go f.run(ctx)
	return f
}

// Sum waits until the first n bytes are hashed, all that there are in the end, and returns their digest in hex. The
// error is that of the read; a file that is shorter is io.ErrUnexpectedEOF.
func (f *Follower) Sum(ctx context.Context, n int64) (string, error) {
	f.last.Store(n)
	select {
	case <-f.done:
	case <-ctx.Done():
		return "", context.Cause(ctx)
	}
	if f.err == nil && f.n.Load() != n {
		f.err = io.ErrUnexpectedEOF
	}
	return Hex(f.hash), f.err
}

// Hashed returns how many bytes are hashed.
func (f *Follower) Hashed() int64 { return f.n.Load() }

// Stop ends it. The file may be closed afterwards.
func (f *Follower) Stop() {
	f.stop()
	<-f.done
}

// goal returns how far to hash, and whether that is the end.
func (f *Follower) goal() (n int64, end bool) {
	if last := f.last.Load(); last >= 0 {
		return last, true
	}
	return f.upTo(), false
}

func (f *Follower) run(ctx context.Context) {
	defer close(f.done)
	b := make([]byte, 256<<10)
	for ctx.Err() == nil {
		n, end := f.goal()
		m, err := 0, error(nil)
		if f.n.Load() < n {
			m, err = f.file.ReadAt(b[:min(n-f.n.Load(), int64(len(b)))], f.n.Load())
			f.hash.Write(b[:m])
			f.n.Add(int64(m))
		}
		switch {
		case m > 0:
		case err != nil && err != io.EOF:
			f.err = err
			return
		case end:
			return
		default:
			select {
			case <-ctx.Done():
			case <-time.After(followPause):
			}
		}
	}
}
