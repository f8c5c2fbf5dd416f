package transfer

import (
	"sync"

	"golang.org/x/sys/unix"

	"github.com/zcp-go/zcp/pipepool"
)

const (
	// quantum is the most bytes one step moves, so that progress, limits and
	// cancellation are looked at often enough even on a slow disk (BenchmarkQuantum).
	quantum = 1 << 20
	// maxCall keeps a length inside the int of a 32-bit system and below the
	// kernel's own cap of 0x7ffff000 bytes a call.
	maxCall = 1 << 30
	// copyBuffer is the size of the memory that ReadWrite moves bytes through.
	copyBuffer = 256 << 10
)

var buffers = sync.Pool{New: func() any { b := make([]byte, copyBuffer); return &b }}

// A want is what a pump needs before it can go on.
type want uint8

const (
	wantMore want = iota // nothing: step again
	wantSrc              // the source to be readable
	wantDst              // the destination to be writable
	ended                // nothing: the source has ended and everything is delivered
)

// pipes is where a pump borrows: the shared pool, or an event loop's own list.
type pipes interface {
	Get() (*pipepool.Pipe, error)
	Put(*pipepool.Pipe)
}

// A pump is one direction of one transfer. It holds at most a pipe or a buffer of
// bytes that it took from the source and has not delivered, it never sleeps, and
// it never loses what it holds: where the kernel refuses a path, the bytes are read
// back and go on through memory.
type pump struct {
	Counters
	dst, src *Endpoint
	pool     pipes
	stats    *Stats // details for people; nil where nobody asks
	plan     plan   // what is left to try, the path in use first
	pipe     *pipepool.Pipe
	buf      *[]byte
	off, end int   // buf[off:end] is held
	left     int64 // bytes that may still be taken from the source, -1 for no limit
	lastCopy bool  // the last pipeful goes through memory, so that no page of the file stays in a user's pipe

	raw                bool // neither end nor the pipe ever waits: see rawcall_linux.go
	srcReady, dstReady bool // poll has just said so
	hop2Refused        bool // what is in the pipe leaves it through memory
	noPipe             bool // a pipe was refused and that was noted
	eof                bool
	vain               int // EAGAINs in a row for an end that poll had just called ready
}

// start aims a pump at a pair of endpoints.
func (p *pump) start(dst, src *Endpoint, memory bool) {
	p.dst, p.src, p.left, p.lastCopy = dst, src, -1, false
	p.plan = planFor(dst, src)
	if memory {
		p.plan = viaMemory
	}
	p.eof, p.hop2Refused, p.srcReady, p.dstReady, p.vain = false, false, false, false, 0
}

// held returns how many bytes were taken from the source and not delivered.
func (p *pump) held() int64 {
	n := int64(p.end - p.off)
	if p.pipe != nil {
		n += p.pipe.Len
	}
	return n
}

// rest gives back what a waiting pump does not need: an empty pipe, an empty buffer.
func (p *pump) rest() {
	if p.pipe != nil && p.pipe.Len == 0 {
		p.pool.Put(p.pipe)
		p.pipe = nil
	}
	if p.buf != nil && p.off == p.end {
		buffers.Put(p.buf)
		p.buf, p.off, p.end = nil, 0, 0
	}
}

// stop gives everything back and returns how many bytes are dropped by it.
func (p *pump) stop() (dropped int64) {
	dropped = p.held()
	p.off = p.end
	if p.pipe != nil {
		p.pool.Put(p.pipe) // the pool closes a pipe that still holds bytes
		p.pipe = nil
	}
	p.rest()
	return dropped
}

// step moves what can be moved now, at most n bytes, and says what it waits for.
// Held bytes are delivered first, so the source is only touched with nothing in
// hand: EAGAIN from it then means that it is empty, never that our pipe is full.
func (p *pump) step(n int64) (want, error) {
	if w, err := p.deliver(); w != wantMore || err != nil {
		return w, err
	}
	if p.left >= 0 {
		n = min(n, p.left)
	}
	if p.eof || n == 0 {
		return ended, nil
	}
	if p.src.mayBlock() && !p.srcReady {
		return wantSrc, nil
	}
	switch p.plan[0] {
	case CopyFileRange, Sendfile, Splice:
		return p.oneHop(n)
	case SplicePipe:
		return p.twoHops(n)
	default:
		return p.fill(n)
	}
}

func (p *pump) took(n int64) {
	p.srcReady, p.vain = false, 0
	if p.left > 0 {
		p.left -= n
	}
}

func (p *pump) gave(path Path, n int64) {
	if n > 0 {
		p.vain = 0
	}
	p.Bytes.Add(n)
	if p.dst.ahead != nil {
		p.dst.ahead.written += n
	}
	if p.stats != nil {
		p.stats.Bytes.Add(n)
		p.stats.paths[path].Add(n)
	}
}

func (p *pump) tried(path Path) {
	p.Calls.Add(1)
	if p.stats != nil {
		p.stats.Calls.Add(1)
		p.stats.calls[path].Add(1)
	}
}

// refused goes on to the next path of the plan. err is nil where the path gave
// nothing and read had bytes.
func (p *pump) refused(err error, side Side) {
	path := p.plan[0]
	if len(p.plan) > 1 {
		p.plan = p.plan[1:]
	}
	if side == Destination && path == SplicePipe {
		p.plan = viaMemory
	}
	if p.stats != nil {
		p.stats.fellBack(Fallback{path, err, side, p.Bytes.Load()})
	}
}

func (p *pump) refusedPipe(err error) {
	if p.stats != nil && !p.noPipe {
		p.stats.fellBack(Fallback{SplicePipe, err, Neither, p.Bytes.Load()})
	}
	p.noPipe = true
}

func ignoringEINTRn(f func() (int, error)) (int, error) {
	for {
		if n, err := f(); err != unix.EINTR {
			return n, err
		}
	}
}

// writable asks poll, without waiting, whether fd takes bytes now, or fails.
func writable(fd int) bool { return pollNow(fd, pollOut) != 0 }

// pollNow asks poll which of the events are true of fd now; pollErr and pollHup are told unasked.
func pollNow(fd int, events uint32) uint32 {
	fds := []unix.PollFd{{Fd: int32(fd), Events: int16(events)}}
	n, err := ignoringEINTRn(func() (int, error) { return unix.Poll(fds, 0) })
	if err != nil || n == 0 {
		return 0
	}
	return uint32(uint16(fds[0].Revents))
}
