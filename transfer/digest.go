package transfer

import (
	"hash"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/zcp-go/zcp/pipepool"
	"github.com/zcp-go/zcp/transfer/internal/sock"
)

// digestLag is how many pieces, of at most a Quantum each, the digest may be behind the mover. What
// lies in between is read from the page cache, so it must fit there; then the mover waits.
const digestLag = 64

// A digester hashes what a Transfer moves, in order, on a goroutine beside the mover. The mover
// hands it pieces: a range of a file, bytes in memory, or what tee put into a pipe of its own.
//
// A nil digester takes everything and does nothing.
type digester struct {
	hash   hash.Hash
	got    *atomic.Int64 // bytes hashed
	waited *atomic.Int64 // nanoseconds in which the mover waited
	pieces chan piece
	behind sync.WaitGroup // pieces that were handed over and are not hashed
	ended  chan struct{}
	err    error // of the first piece that could not be read; read after settle

	pipes Pipes
	pipe  *pipepool.Pipe // the copy of the mover's pipe; nil until it is needed
	store int64          // the offset of the next byte that is read back from the destination, -1 where none is
}

// A piece is n bytes.
type piece struct {
	mem []byte // these
	fd  int    // or, from offset at on, those of this file; or of this pipe, where at is below 0
	at  int64
	n   int64
}

// startDigest begins to hash a Move or a Write; end ends it.
func (t *Transfer) startDigest() {
	t.pump.digest, t.pump.srcAt = nil, -1
	if t.Digest == nil {
		return
	}
	d := &digester{hash: t.Digest, got: &t.Stats.Digested, waited: &t.Stats.WaitHash, pieces: make(chan piece, digestLag), ended: make(chan struct{}), pipes: t.pool, store: -1}
	if src := t.pump.src; src != nil && src.kind == File {
		t.pump.srcAt = src.offset()
	}
	if t.ReadBack && t.pump.dst.readable() {
		d.store = t.pump.dst.writeOffset()
	}
	t.pump.digest = d
	go d.run()
}

// endDigest waits until everything is hashed, and says why it is not.
func (t *Transfer) endDigest() error {
	d := t.pump.digest
	if d == nil {
		return nil
	}
	t.pump.digest = nil
	close(d.pieces)
	if t.Trace != nil && d.readsBack() {
		t.Trace(Event{Kind: ReadingBack})
	}
	began := time.Now()
	<-d.ended
	d.clock(began)
	if d.pipe != nil {
		d.pipes.Put(d.pipe) // the pool closes a pipe that still holds bytes
	}
	if d.err == nil {
		return nil
	}
	if d.store >= 0 {
		return &Error{"read", Destination, d.err}
	}
	return &Error{"read", Source, d.err}
}

// digestChoice bars the paths on which the digest would miss bytes. Of a file that cannot change
// meanwhile the page cache is hashed; of any other, the copies that are made. A stream goes by
// way of a pipe of ours, because tee needs the bytes in a pipe until it has them.
func (t *Transfer) digestChoice(src *Endpoint) {
	if t.Digest == nil || t.pump.digest.readsBack() {
		return
	}
	path, _ := t.choice.Next(1)
	switch g := src.guard; {
	case src.kind == File && (g == nil || !g.held && !g.fixed || t.pump.srcAt < 0):
		t.choice.throughMemory()
	case src.kind == File:
	case path == Splice:
		t.choice.cheap = viaPipe
		t.choice.barred &^= 1 << SplicePipe // it was barred as the dearer of the two
	case path == Sendfile || path == CopyFileRange:
		t.choice.throughMemory()
	}
}

func (d *digester) readsBack() bool { return d != nil && d.store >= 0 }

// ofSource tells whether the mover has to show what it takes from the source.
func (d *digester) ofSource() bool { return d != nil && d.store < 0 }

// hand gives the digest a piece.
func (d *digester) hand(p piece) {
	d.behind.Add(1)
	select {
	case d.pieces <- p:
	default:
		defer d.clock(time.Now())
		d.pieces <- p
	}
}

// clock counts the time since the mover began to wait.
func (d *digester) clock(since time.Time) { d.waited.Add(int64(time.Since(since))) }

// settle waits until the digest has caught up with the mover.
func (d *digester) settle() {
	if d != nil {
		defer d.clock(time.Now())
		d.behind.Wait()
	}
}

// memory hashes bytes, which must stay as they are until settle.
func (d *digester) memory(b []byte) {
	if d.ofSource() && len(b) > 0 {
		d.hand(piece{mem: b})
	}
}

// file hashes a range of a file that does not change meanwhile.
func (d *digester) file(fd int, at, n int64) {
	if d.ofSource() {
		d.hand(piece{fd: fd, at: at, n: n})
	}
}

// stored hashes the next n bytes of the destination, as they are in the file now.
func (d *digester) stored(fd int, n int64) {
	if d.readsBack() && n > 0 {
		d.hand(piece{fd: fd, at: d.store, n: n})
		d.store += n
	}
}

// piped hashes what a pipe holds, without taking it. False says that it did not: there is no
// second pipe, or it has fewer slots.
func (d *digester) piped(p *pipepool.Pipe) bool {
	if !d.ofSource() {
		return true
	}
	d.settle()
	if d.pipe == nil {
		pipe, err := d.pipes.Get()
		if err != nil {
			return false
		}
		d.pipe = pipe
	}
	n, err := tee(d.pipe.W(), p.R(), p.Len)
	d.pipe.Len += max(n, 0)
	if err != nil || n < p.Len {
		return false
	}
	d.hand(piece{fd: d.pipe.R(), at: -1, n: n})
	return true
}

func (d *digester) run() {
	defer close(d.ended)
	b := buffers.Get().(*[]byte)
	defer buffers.Put(b)
	for p := range d.pieces {
		if d.err == nil {
			d.err = d.add(p, *b)
		}
		d.behind.Done()
	}
}

// add hashes a piece.
func (d *digester) add(p piece, b []byte) error {
	d.write(p.mem)
	for p.n > 0 {
		n, err := sock.RetryN(func() (int, error) {
			if p.at < 0 {
				return unix.Read(p.fd, b[:min(p.n, int64(len(b)))])
			}
			return unix.Pread(p.fd, b[:min(p.n, int64(len(b)))], p.at)
		})
		switch {
		case err != nil:
			return err
		case n == 0:
			return io.ErrUnexpectedEOF
		}
		d.write(b[:n])
		p.n -= int64(n)
		if p.at < 0 {
			d.pipe.Len -= int64(n)
		} else {
			p.at += int64(n)
		}
	}
	return nil
}

func (d *digester) write(b []byte) {
	d.hash.Write(b)
	d.got.Add(int64(len(b)))
}

// readable tells whether a regular file was opened for reading as well.
func (e *Endpoint) readable() bool {
	if e.kind != File {
		return false
	}
	fl, err := unix.FcntlInt(uintptr(e.fd), unix.F_GETFL, 0)
	return err == nil && fl&unix.O_ACCMODE == unix.O_RDWR
}

// writeOffset returns where the next write to a regular file goes, or -1.
func (e *Endpoint) writeOffset() int64 {
	if fl, err := unix.FcntlInt(uintptr(e.fd), unix.F_GETFL, 0); err == nil && fl&unix.O_APPEND != 0 {
		return e.FileSize()
	}
	return e.offset()
}
