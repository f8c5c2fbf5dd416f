package transfer

import "golang.org/x/sys/unix"

// oneHop moves bytes with one system call that takes from the source and gives
// to the destination. On any error it has taken no more than it gave.
func (p *pump) oneHop(n int64) (want, error) {
	path, call := p.plan[0], splice
	switch {
	case path == Sendfile:
		call = sendfile
	case path == CopyFileRange:
		call = copyFileRange
	case p.lastCopy:
		if n = min(n, p.referable()); n <= 0 {
			p.plan = viaMemory // not a refusal: what follows has to be copied, see guard.go
			return wantMore, nil
		}
	}
	m, err := call(p.dst.fd, p.src.fd, n)
	p.tried(path)
	switch {
	case m > 0:
		p.took(m)
		p.dstReady = false
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

// referable returns how many bytes may still be spliced to a user's pipe by reference: all
// but what fills the pipe, and a page more, for a first page that is not full. The pipe is asked each
// time, because whoever reads from it may have grown it.
func (p *pump) referable() int64 { return p.left - int64(pipeCapacity(p.dst.fd)) - pageSize }

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

// borrow takes a pipe from the pool, unless the pump has one.
func (p *pump) borrow() error {
	if p.pipe != nil {
		return nil
	}
	pipe, err := p.pool.Get()
	if err != nil {
		return err
	}
	p.pipe = pipe
	if p.stats != nil {
		p.stats.PipeSize.Store(int64(pipe.Cap()))
	}
	return nil
}

// twoHops fills a pipe from the source and empties it into the destination.
func (p *pump) twoHops(n int64) (want, error) {
	if err := p.borrow(); err != nil {
		p.refusedPipe(err)
		return p.fill(n)
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
	if p.dst.ahead != nil {
		p.dst.ahead.make(p.dst.fd, p.pipe.Len)
	}
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
