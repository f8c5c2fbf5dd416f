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
	refLeft  int64 // bytes that may still be spliced to a pipe by reference, -1 for no limit

	raw                bool // neither end nor the pipe ever waits: see rawcall_linux.go
	srcReady, dstReady bool // poll has just said so
	hop2Refused        bool // what is in the pipe leaves it through memory
	noPipe             bool // a pipe was refused and that was noted
	eof                bool
	vain               int // EAGAINs in a row for an end that poll had just called ready
}

// start aims a pump at a pair of endpoints.
func (p *pump) start(dst, src *Endpoint, memory bool) {
	p.dst, p.src, p.left, p.refLeft = dst, src, -1, -1
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

// oneHop moves bytes with one system call that takes from the source and gives
// to the destination. On any error it has taken no more than it gave.
func (p *pump) oneHop(n int64) (want, error) {
	path, call := p.plan[0], splice
	switch {
	case path == Sendfile:
		call = sendfile
	case path == CopyFileRange:
		call = copyFileRange
	case p.refLeft == 0:
		p.plan = viaMemory // not a refusal: what follows has to be copied, see guard.go
		return wantMore, nil
	case p.refLeft > 0:
		n = min(n, p.refLeft)
	}
	m, err := call(p.dst.fd, p.src.fd, n)
	p.tried(path)
	switch {
	case m > 0:
		p.took(m)
		p.dstReady = false
		if p.refLeft > 0 {
			p.refLeft -= m
		}
		p.gave(path, m)
		return wantMore, nil
	case err == nil:
		return p.confirm()
	case err == unix.EAGAIN && !(p.src.kind.alwaysReady() && p.inVain(p.dstReady)):
		return p.whoWaits()
	}
	side := Source
	if path == Sendfile || err == unix.EPIPE || err == unix.EAGAIN || p.dst.kind.Socket() {
		side = Destination
	}
	end := p.src
	if side == Destination {
		end = p.dst
	}
	if !refusal(err, end) {
		return wantMore, &Error{side, err}
	}
	p.refused(err, side)
	return wantMore, nil
}

// inVain tells whether a path is refused in all but name: it has nothing to do for the
// second time although poll said ready. Going on would be to spin.
func (p *pump) inVain(ready bool) bool {
	if ready {
		p.vain++
	}
	return p.vain > 1
}

// whoWaits tells apart the two meanings of EAGAIN from a call with two ends that can wait.
func (p *pump) whoWaits() (want, error) {
	if p.src.kind.alwaysReady() || !writable(p.dst.fd) {
		return wantDst, nil
	}
	// Poll calls both ready, and the kernel's path finds nothing: a TCP urgent mark. Once may
	// be chance, the destination having made room between the call and our question.
	if p.inVain(p.srcReady) {
		return p.confirm()
	}
	return wantSrc, nil
}

// twoHops fills a pipe from the source and empties it into the destination.
func (p *pump) twoHops(n int64) (want, error) {
	if p.pipe == nil {
		pipe, err := p.pool.Get()
		if err != nil {
			p.refusedPipe(err)
			return p.fill(n)
		}
		p.pipe = pipe
		if p.stats != nil {
			p.stats.PipeSize.Store(int64(pipe.Cap()))
		}
	}
	m, err := p.splice(p.pipe.W(), p.src.fd, min(n, int64(p.pipe.Cap())))
	p.tried(SplicePipe)
	switch {
	case m > 0:
		p.took(m)
		p.pipe.Len += m
		return p.deliver()
	case err == nil:
		return p.confirm()
	case err == unix.EAGAIN:
		if p.srcReady { // as in whoWaits
			return p.confirm()
		}
		return wantSrc, nil
	case !refusal(err, p.src):
		return wantMore, &Error{Source, err}
	}
	p.refused(err, Source)
	return wantMore, nil
}

func (p *pump) splice(dst, src int, n int64) (int64, error) {
	if p.raw {
		return rawSplice(dst, src, n)
	}
	return splice(dst, src, n)
}

// confirm asks read whether the source has ended after a kernel path moved nothing.
// At a TCP urgent mark read steps over the mark and the path is good again; a file
// that reads although the kernel's path gave nothing (FUSE, /proc) is read to its end.
func (p *pump) confirm() (want, error) {
	before := p.Bytes.Load()
	w, err := p.fill(quantum)
	if p.Bytes.Load()+p.held() > before && !p.src.kind.Socket() {
		p.refused(nil, Source)
	}
	return w, err
}

// fill reads into memory and delivers what it read.
func (p *pump) fill(n int64) (want, error) {
	if p.buf == nil {
		p.buf = buffers.Get().(*[]byte)
	}
	if p.left >= 0 {
		n = min(n, p.left)
	}
	m, err := p.src.read((*p.buf)[:min(n, int64(len(*p.buf)))])
	p.srcReady = false
	p.tried(ReadWrite)
	switch {
	case err == unix.EAGAIN:
		return wantSrc, nil
	case err == unix.EIO && p.src.kind == Terminal: // the terminal's other end is closed: its end of file
		m = 0
	case err != nil:
		return wantMore, &Error{Source, err}
	}
	if m == 0 {
		p.eof = true
		return ended, nil
	}
	p.took(int64(m))
	p.off, p.end = 0, m
	p.src.guard.copied((*p.buf)[:m])
	return p.deliver()
}

// deliver empties what is held into the destination. Entered with bytes in the
// pipe, in the buffer, or in neither; it returns wantMore only with both empty.
func (p *pump) deliver() (want, error) {
	for p.held() > 0 {
		if p.dst.mayBlock() && !p.dstReady {
			return wantDst, nil
		}
		ready := p.dstReady
		p.dstReady = false
		if p.off == p.end && !p.hop2Refused {
			if w, err := p.emptyPipe(ready); w != wantMore || err != nil {
				return w, err
			}
			continue
		}
		if p.off == p.end {
			if err := p.readBack(); err != nil {
				return wantMore, err
			}
		}
		m, err := p.dst.write((*p.buf)[p.off:p.end])
		p.tried(ReadWrite)
		p.off += m
		p.gave(ReadWrite, int64(m))
		switch {
		case err == unix.EAGAIN:
			return wantDst, nil
		case err != nil:
			return wantMore, &Error{Destination, err}
		case m == 0: // write(2) of n > 0 bytes does not return 0; a driver that does so must not spin us
			return wantMore, &Error{Destination, unix.EIO}
		}
	}
	return wantMore, nil
}

// emptyPipe is the second hop. A refusal leaves every byte in the pipe, from where
// readBack gets them: write will then succeed, or tell the true error.
func (p *pump) emptyPipe(ready bool) (want, error) {
	m, err := p.splice(p.dst.fd, p.pipe.R(), p.pipe.Len)
	p.tried(SplicePipe)
	switch {
	case m > 0:
		p.pipe.Len -= m
		p.gave(SplicePipe, m)
		return wantMore, nil
	case err == unix.EAGAIN && !p.inVain(ready):
		return wantDst, nil
	case err != nil && !refusal(err, p.dst):
		return wantMore, &Error{Destination, err}
	}
	p.hop2Refused = true
	p.refused(err, Destination)
	return wantMore, nil
}

// readBack moves bytes from the pipe to the empty buffer, to be written from there.
func (p *pump) readBack() error {
	if p.buf == nil {
		p.buf = buffers.Get().(*[]byte)
	}
	m, err := ignoringEINTRn(func() (int, error) { return unix.Read(p.pipe.R(), *p.buf) })
	if err != nil || m == 0 {
		return &Error{Source, unix.EIO} // our own pipe holds pipe.Len bytes: this cannot happen
	}
	p.pipe.Len -= int64(m)
	p.off, p.end = 0, m
	return nil
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
