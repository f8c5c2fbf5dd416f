package transfer

import (
	"golang.org/x/sys/unix"

	"github.com/zcp-go/zcp/transfer/internal/sock"
)

// oneHop moves bytes with one system call that takes from the source and gives
// to the destination. On any error it has taken no more than it gave.
func (p *Pump) oneHop(path Path, n int64) (Want, error) {
	call := splice
	switch path {
	case Sendfile:
		call = sendfile
	case CopyFileRange:
		call = copyFileRange
	}
	m, err := call(p.dst.fd, p.src.fd, n)
	p.tried(path)
	switch {
	case m > 0:
		p.digest.file(p.src.fd, p.srcAt, m)
		p.took(m)
		p.dstReady = false
		p.gave(path, m)
		return WantMore, nil
	case err == nil:
		return p.confirm(path)
	case err == unix.EAGAIN && !(p.src.kind.alwaysReady() && p.spuriously(p.dstReady)):
		return p.whoWaits(path)
	case err == unix.EPIPE && p.dst.kind == Pipe:
		return p.readerLeft(path)
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
		return WantMore, &Error{path.op(), side, err}
	}
	p.refused(path, err, side)
	return WantMore, nil
}

// readerLeft finds out whether there is anything that a pipe's reader will miss. splice(2) looks at the pipe before
// it looks at the source, so EPIPE comes at the end of the source as well: tar(1) leaves after the last record.
func (p *Pump) readerLeft(path Path) (Want, error) {
	if p.src.mayBlock() && !p.srcReady {
		return WantSrc, nil
	}
	return p.confirm(path)
}

// referable returns how many bytes may still be spliced to a user's pipe by reference: all
// but what fills the pipe, and a page more, for a first page that is not full. The pipe is asked each
// time, because its reader may have grown it.
func (p *Pump) referable() int64 { return p.left - int64(pipeCapacity(p.dst.fd)) - pageSize }

// spuriously tells whether a path is refused in all but name: it has nothing to do for the
// second time although poll said ready. Going on would be to spin.
func (p *Pump) spuriously(ready bool) bool {
	if ready {
		p.spurious++
	}
	return p.spurious > 1
}

// whoWaits tells apart the two meanings of EAGAIN from a call with two ends that can wait.
func (p *Pump) whoWaits(path Path) (Want, error) {
	if p.src.kind.alwaysReady() || !writable(p.dst.fd) {
		return WantDst, nil
	}
	// Poll calls both ready, and the kernel's path finds nothing: a TCP urgent mark. Once may
	// be chance, the destination having made room between the call and our question.
	if p.spuriously(p.srcReady) {
		return p.confirm(path)
	}
	return WantSrc, nil
}

// borrow takes a pipe from the pool, unless the pump has one.
func (p *Pump) borrow() error {
	if p.pipe != nil {
		return nil
	}
	pipe, err := p.Pool.Get()
	if err != nil {
		return err
	}
	p.pipe, p.noPipe = pipe, false
	if p.onPipe != nil {
		p.onPipe(pipe.Cap())
	}
	if p.stats != nil {
		p.stats.PipeSize.Store(int64(pipe.Cap()))
	}
	return nil
}

// twoHops fills a pipe from the source and empties it into the destination.
func (p *Pump) twoHops(n int64) (Want, error) {
	if err := p.borrow(); err != nil {
		if !p.noPipe {
			p.noPipe = true
			p.fellBack(Fallback{SplicePipe, err, Neither, p.Bytes.Load()})
		}
		if p.src.kind == File && p.dst.kind == TCP { // sendfile needs none
			p.Choose.Refuse(SplicePipe)
			return WantMore, nil
		}
		return p.fill(n)
	}
	m, err := p.splice(p.pipe.W(), p.src.fd, min(n, int64(p.pipe.Cap())))
	p.tried(SplicePipe)
	switch {
	case m > 0:
		p.pipe.Len += m
		p.digestPipe(m)
		p.took(m)
		return p.deliver()
	case err == nil:
		return p.confirm(SplicePipe)
	case err == unix.EAGAIN:
		if p.srcReady { // as in whoWaits
			return p.confirm(SplicePipe)
		}
		return WantSrc, nil
	case !refusal(err, p.src):
		return WantMore, &Error{"splice", Source, err}
	}
	p.refused(SplicePipe, err, Source)
	return WantMore, nil
}

// digestPipe has what was just put into the pipe hashed. Where tee cannot show it, the bytes leave
// the pipe through memory, and are hashed there.
func (p *Pump) digestPipe(n int64) {
	switch {
	case p.digest == nil:
	case p.src.kind == File:
		p.digest.file(p.src.fd, p.srcAt, n)
	case !p.digest.piped(p.pipe):
		p.undigested, p.hop2Refused = true, true
		p.refused(SplicePipe, unix.ENOBUFS, Neither)
	}
}

func (p *Pump) splice(dst, src int, n int64) (int64, error) {
	if p.Raw {
		return rawSplice(dst, src, n)
	}
	return splice(dst, src, n)
}

// confirm asks read whether the source has ended after a kernel path moved nothing.
// At a TCP urgent mark read steps over the mark and the path is good again; a file
// that reads although the kernel's path gave nothing (FUSE, /proc) is read to its end.
func (p *Pump) confirm(path Path) (Want, error) {
	before := p.Bytes.Load()
	w, err := p.fill(Quantum)
	if p.Bytes.Load()+p.Held() > before && !p.src.kind.Socket() {
		p.refused(path, nil, Source)
	}
	return w, err
}

// fill reads into memory and delivers what it read.
func (p *Pump) fill(n int64) (Want, error) {
	p.needBuffer()
	if p.left >= 0 {
		n = min(n, p.left)
	}
	p.digest.settle() // the buffer may be hashed still
	m, err := p.src.read(p.mem[:min(n, int64(len(p.mem)))])
	p.srcReady = false
	p.tried(ReadWrite)
	switch {
	case err == unix.EAGAIN:
		return WantSrc, nil
	case err == unix.EIO && p.src.kind == Terminal: // the terminal's other end is closed: its end of file
		m = 0
	case err != nil:
		return WantMore, &Error{"read", Source, err}
	}
	if m == 0 {
		p.eof = true
		return Ended, nil
	}
	p.took(int64(m))
	p.off, p.end = 0, m
	p.src.guard.copied(p.mem[:m])
	p.digest.memory(p.mem[:m])
	return p.deliver()
}

func (p *Pump) needBuffer() {
	if p.buf == nil {
		p.buf = buffers.Get().(*[]byte)
		p.mem = *p.buf
	}
}

// deliver empties what is held into the destination. Entered with bytes in the
// pipe, in the buffer, or in neither; it returns WantMore only with both empty.
func (p *Pump) deliver() (Want, error) {
	for p.Held() > 0 {
		if p.dst.mayBlock() && !p.dstReady {
			return WantDst, nil
		}
		ready := p.dstReady
		p.dstReady = false
		if p.off == p.end && !p.hop2Refused {
			if w, err := p.emptyPipe(ready); w != WantMore || err != nil {
				return w, err
			}
			continue
		}
		if p.off == p.end {
			if err := p.readBack(); err != nil {
				return WantMore, err
			}
		}
		m, err := p.dst.write(p.mem[p.off:p.end])
		p.tried(ReadWrite)
		p.off += m
		p.gave(ReadWrite, int64(m))
		switch {
		case err == unix.EAGAIN:
			return WantDst, nil
		case err != nil:
			return WantMore, &Error{"write", Destination, err}
		case m == 0: // write(2) of n > 0 bytes does not return 0; a driver that does so must not spin us
			return WantMore, &Error{"write", Destination, unix.EIO}
		}
	}
	return WantMore, nil
}

// emptyPipe is the second hop. A refusal leaves every byte in the pipe, from where
// readBack gets them: write will then succeed, or tell the true error.
func (p *Pump) emptyPipe(ready bool) (Want, error) {
	if p.dst.prealloc != nil {
		p.dst.prealloc.make(p.dst.fd, p.pipe.Len)
	}
	m, err := p.splice(p.dst.fd, p.pipe.R(), p.pipe.Len)
	p.tried(SplicePipe)
	switch {
	case m > 0:
		p.pipe.Len -= m
		p.gave(SplicePipe, m)
		return WantMore, nil
	case err == unix.EAGAIN && !p.spuriously(ready):
		return WantDst, nil
	case err != nil && !refusal(err, p.dst):
		return WantMore, &Error{"splice", Destination, err}
	}
	p.hop2Refused = true
	p.refused(SplicePipe, err, Destination)
	return WantMore, nil
}

// readBack moves bytes from the pipe to the empty buffer, to be written from there.
func (p *Pump) readBack() error {
	p.needBuffer()
	p.digest.settle()
	m, err := sock.RetryN(func() (int, error) { return unix.Read(p.pipe.R(), p.mem) })
	if err != nil || m == 0 {
		return &Error{"read", Source, unix.EIO} // our own pipe holds pipe.Len bytes: this cannot happen
	}
	p.pipe.Len -= int64(m)
	p.off, p.end = 0, m
	if p.undigested {
		p.digest.memory(p.mem[:m])
	}
	return nil
}
