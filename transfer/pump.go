package transfer

import (
	"sync"

	"golang.org/x/sys/unix"

	"github.com/zcp-go/zcp/pipepool"
	"github.com/zcp-go/zcp/transfer/internal/sock"
)

const (
	// Quantum is the most bytes one step moves, so that progress, limits and cancellation are
	// checked often enough even on a slow disk. From 256 KiB on larger steps are not faster (1.9 GB/s
	// file to file; 64 KiB: 1.7), but the longest takes 0.5 ms at 1 MiB, 2 at 4 and 14 at 64
	// (BenchmarkQuantum, 2 shared cores, page cache).
	Quantum = 1 << 20
	// maxCall keeps a length inside the int of a 32-bit system and below the
	// kernel's own cap of 0x7ffff000 bytes a call.
	maxCall = 1 << 30
)

// copyBuffer is the bytes of memory that ReadWrite moves bytes through: 0.83 s of processor time a GB
// for both ends of a connection, 1.6 at 16 KiB, 0.95 at 64, 0.62 at 1 MiB, which would be four times
// the memory (BenchmarkCopyBuffer, 2 shared cores).
var copyBuffer int64 = 256 << 10

var buffers = sync.Pool{New: func() any { b := make([]byte, copyBuffer); return &b }}

// A Want is what a Pump needs before it can go on.
type Want uint8

// What a Pump can want.
const (
	WantMore Want = iota // nothing: step again
	WantSrc              // the source to be readable
	WantDst              // the destination to be writable
	Ended                // nothing: the source has ended and everything is delivered
)

// Pipes is where a Pump borrows: a pipepool.Pool, or an event loop's own list.
type Pipes interface {
	Get() (*pipepool.Pipe, error)
	Put(*pipepool.Pipe)
}

// A Pump is one direction of one transfer, for drivers: a Transfer, or an event loop that has
// thousands of them. It holds at most a pipe or a buffer of bytes that it took from the source
// and has not delivered, it never sleeps, and it never loses what it holds: where the kernel
// refuses a path, the bytes are read back and go on through memory.
type Pump struct {
	Counters
	Pool   Pipes
	Choose Chooser
	Raw    bool // neither end nor the pipe ever waits: see rawcall_linux.go

	dst, src *Endpoint
	stats    *Stats         // details for people; nil where they are not wanted
	onRefuse func(Fallback) // told of every refusal, where it is not nil
	onPipe   func(size int) // told when a pipe is borrowed, where it is not nil
	pipe     *pipepool.Pipe
	buf      *[]byte   // from the pool of buffers
	mem      []byte    // *buf, or the caller's bytes
	off, end int       // mem[off:end] is held
	digest   *digester // nil: none
	srcAt    int64     // the offset of the next byte of a source file; kept for digest
	left     int64     // bytes that may still be taken from the source, -1 for no limit

	srcReady, dstReady bool // poll has just said so
	undigested         bool // what is in the pipe is still to be hashed
	hop2Refused        bool // what is in the pipe leaves it through memory
	noPipe             bool // the last pipe that was wanted was refused
	eof                bool
	spurious           int // EAGAINs in a row for an end that poll had just called ready
}

// Start points a pump at a pair of endpoints.
func (p *Pump) Start(dst, src *Endpoint) {
	p.dst, p.src, p.left = dst, src, -1
	p.undigested, p.eof, p.hop2Refused, p.srcReady, p.dstReady, p.spurious = false, false, false, false, false, 0
}

// hold gives the pump bytes to deliver; they stay the caller's. The pump has no source then.
func (p *Pump) hold(b []byte) {
	p.mem, p.off, p.end, p.eof = b, 0, len(b), true
}

// Ready tells the pump that poll has just called the source or the destination ready.
func (p *Pump) Ready(w Want) {
	p.srcReady, p.dstReady = p.srcReady || w == WantSrc, p.dstReady || w == WantDst
}

// Starved tells whether the last pipe that was wanted was refused.
func (p *Pump) Starved() bool { return p.noPipe }

// Held returns how many bytes were taken from the source and not delivered.
func (p *Pump) Held() int64 {
	n := int64(p.end - p.off)
	if p.pipe != nil {
		n += p.pipe.Len
	}
	return n
}

// Release gives back what a waiting pump does not need: an empty pipe, an empty buffer.
func (p *Pump) Release() {
	if p.pipe != nil && p.pipe.Len == 0 {
		p.Pool.Put(p.pipe)
		p.pipe = nil
	}
	if p.off == p.end {
		if p.buf != nil {
			buffers.Put(p.buf)
		}
		p.buf, p.mem, p.off, p.end = nil, nil, 0, 0
	}
}

// Stop gives everything back and returns how many bytes are dropped by it.
func (p *Pump) Stop() (dropped int64) {
	dropped = p.Held()
	p.off = p.end
	if p.pipe != nil {
		p.Pool.Put(p.pipe) // the pool closes a pipe that still holds bytes
		p.pipe = nil
	}
	p.Release()
	return dropped
}

// Step moves what can be moved now, at most n bytes, and says what it waits for.
// Held bytes are delivered first, so the source is only touched with nothing in
// hand: EAGAIN from it then means that it is empty, never that our pipe is full.
func (p *Pump) Step(n int64) (Want, error) {
	if w, err := p.deliver(); w != WantMore || err != nil {
		return w, err
	}
	if p.left >= 0 {
		n = min(n, p.left)
	}
	if p.eof || n == 0 {
		return Ended, nil
	}
	if p.src.mayBlock() && !p.srcReady {
		return WantSrc, nil
	}
	path, n := p.Choose.Next(n)
	switch path {
	case CopyFileRange, Sendfile, Splice:
		return p.oneHop(path, n)
	case SplicePipe:
		return p.twoHops(n)
	default:
		return p.fill(n)
	}
}

func (p *Pump) took(n int64) {
	p.srcReady, p.spurious = false, 0
	p.srcAt += n
	if p.left > 0 {
		p.left -= n
	}
}

func (p *Pump) gave(path Path, n int64) {
	if n > 0 {
		p.spurious = 0
	}
	p.Bytes.Add(n)
	p.digest.stored(p.dst.fd, n)
	if p.dst.prealloc != nil {
		p.dst.prealloc.written += n
	}
	if p.stats != nil {
		p.stats.Bytes.Add(n)
		p.stats.paths[path].Add(n)
	}
}

func (p *Pump) tried(path Path) {
	p.Calls.Add(1)
	if p.stats != nil {
		p.stats.Calls.Add(1)
		p.stats.calls[path].Add(1)
	}
}

// refused bars a path. err is nil where the path gave nothing and read had bytes.
func (p *Pump) refused(path Path, err error, side Side) {
	p.Choose.Refuse(path)
	p.fellBack(Fallback{path, err, side, p.Bytes.Load()})
}

func (p *Pump) fellBack(f Fallback) {
	if p.stats != nil {
		p.stats.fellBack(f)
	}
	if p.onRefuse != nil {
		p.onRefuse(f)
	}
}

// writable asks poll, without waiting, whether fd takes bytes now, or fails.
func writable(fd int) bool { return sock.PollNow(fd, unix.POLLOUT) != 0 }
