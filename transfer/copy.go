package transfer

import (
	"context"
	"io"
	"net"
	"os"
	"syscall"
	"time"
)

// Copy copies from src to dst until src ends and returns how many bytes were
// delivered. It is io.Copy with a context instead of deadlines, which are not looked at, on
// the best path the kernel has where both are an *os.File, *net.TCPConn, *net.UnixConn,
// *Conn or *Endpoint. Anything else is read and written by its own methods, through
// memory, and a call of these that waits is not ended by the context: a type that embeds one of
// the above may do more than move bytes. An *io.LimitedReader is taken for what it limits.
//
// It never closes or shuts down either end. A Close meanwhile waits until Copy
// returns, so a Copy is ended by its context and not by Close.
func Copy(ctx context.Context, dst io.Writer, src io.Reader) (int64, error) {
	return new(Transfer).Copy(ctx, dst, src)
}

// CopyN copies n bytes, or fewer where src ends before, as io.Copy of an
// io.LimitedReader does: fewer is not an error.
func CopyN(ctx context.Context, dst io.Writer, src io.Reader, n int64) (int64, error) {
	return new(Transfer).CopyN(ctx, dst, src, n)
}

// Copy is like the function Copy, with t's options and counts.
func (t *Transfer) Copy(ctx context.Context, dst io.Writer, src io.Reader) (int64, error) {
	return t.CopyN(ctx, dst, src, -1)
}

// CopyN is like the function CopyN, with t's options and counts; a negative n means all.
func (t *Transfer) CopyN(ctx context.Context, dst io.Writer, src io.Reader, n int64) (copied int64, err error) {
	if l, ok := src.(*io.LimitedReader); ok {
		if n < 0 || l.N < n {
			n = max(0, l.N)
		}
		copied, err = t.CopyN(ctx, dst, l.R, n)
		l.N -= copied
		return copied, err
	}
	to, from := descriptorOf(dst), descriptorOf(src)
	err = withEndpoint(to, Destination, func(d *Endpoint) error {
		return withEndpoint(from, Source, func(e *Endpoint) (err error) {
			switch {
			case d != nil && e != nil:
				defer e.Verify() // it ends the watch: to compare is for Send
				copied, err = t.Move(ctx, d, e, n)
			case d != nil:
				copied, err = t.copyFrom(ctx, d, src, n)
			default:
				copied, err = t.copyTo(ctx, dst, e, src, n)
			}
			return err
		})
	})
	return copied, err
}

// descriptorOf returns what moves nothing but the bytes of one descriptor, or nil.
func descriptorOf(end any) syscall.Conn {
	switch c := end.(type) {
	case *os.File, *net.TCPConn, *net.UnixConn, *Endpoint, *Conn:
		return c.(syscall.Conn)
	}
	return nil
}

const copyChunk = 256 << 10 // bytes through memory at once, where an end is not a descriptor

// copyFrom copies from a Reader of the program's own. An error of that is an *Error of the Source.
func (t *Transfer) copyFrom(ctx context.Context, dst *Endpoint, src io.Reader, n int64) (copied int64, err error) {
	b := make([]byte, copyChunk)
	for n < 0 || copied < n {
		if ctx.Err() != nil {
			return copied, context.Cause(ctx)
		}
		if n >= 0 {
			b = b[:min(int64(len(b)), n-copied)]
		}
		m, rerr := src.Read(b)
		w, err := t.Write(ctx, dst, b[:m])
		copied += w
		switch {
		case err != nil:
			return copied, err
		case rerr == io.EOF:
			return copied, nil
		case rerr != nil:
			return copied, &Error{"read", Source, rerr}
		}
	}
	return copied, nil
}

// copyTo copies to a Writer of the program's own, from a descriptor where e is not nil, else from src.
func (t *Transfer) copyTo(ctx context.Context, dst io.Writer, e *Endpoint, src io.Reader, n int64) (copied int64, err error) {
	b := make([]byte, copyChunk)
	for n < 0 || copied < n {
		allowed, err := t.allowance(ctx)
		if err != nil {
			return copied, err
		}
		if n >= 0 {
			allowed = min(allowed, n-copied)
		}
		m, rerr := t.readEither(ctx, e, src, b[:min(int64(len(b)), allowed)])
		w := 0
		if m > 0 {
			w, err = dst.Write(b[:m])
			copied += int64(w)
			t.Stats.Bytes.Add(int64(w))
			t.Stats.Calls.Add(1)
			t.spend(int64(w))
			if t.Digest != nil {
				t.Digest.Write(b[:w]) // never fails (package hash)
			}
		}
		switch {
		case err != nil:
			return copied, &Error{"write", Destination, err}
		case w < m:
			return copied, &Error{"write", Destination, io.ErrShortWrite}
		case rerr == io.EOF:
			return copied, nil
		case rerr != nil:
			return copied, rerr
		}
	}
	return copied, nil
}

// readEither reads from e, or where that is nil from src; io.EOF at the end.
func (t *Transfer) readEither(ctx context.Context, e *Endpoint, src io.Reader, b []byte) (int, error) {
	if e == nil {
		if ctx.Err() != nil {
			return 0, context.Cause(ctx)
		}
		n, err := src.Read(b)
		if err != nil && err != io.EOF {
			err = &Error{"read", Source, err}
		}
		return n, err
	}
	n, err := t.Read(ctx, e, b)
	if n == 0 && err == nil {
		err = io.EOF
	}
	return n, err
}

// withEndpoint runs f with the endpoint of c's descriptor, which stays open for as long as f runs
// even if c is closed meanwhile; of nil, where there is no c.
func withEndpoint(c syscall.Conn, side Side, f func(*Endpoint) error) error {
	if c == nil {
		return f(nil)
	}
	rc, err := c.SyscallConn()
	if err != nil {
		return &Error{"fcntl", side, err}
	}
	cerr := rc.Control(func(fd uintptr) {
		e, eerr := NewEndpoint(int(fd))
		if eerr != nil {
			err = &Error{"fstat", side, eerr}
			return
		}
		err = f(e)
	})
	if cerr != nil {
		return &Error{"fcntl", side, cerr}
	}
	return err
}

// Read reads what is there, and waits until something is. It returns io.EOF at the end. It is for
// programs that read a few bytes in between, such as a header; Transfer.Read takes a context.
func (e *Endpoint) Read(b []byte) (int, error) {
	if len(b) == 0 {
		return 0, nil
	}
	return new(Transfer).readEither(context.Background(), e, nil, b)
}

// Write writes all of b, and waits where that is needed. Transfer.Write takes a context.
func (e *Endpoint) Write(b []byte) (int, error) {
	n, err := new(Transfer).Write(context.Background(), e, b)
	return int(n), err
}

// SyscallConn gives access to the descriptor, as syscall.Conn has it.
func (e *Endpoint) SyscallConn() (syscall.RawConn, error) {
	if e.fd < 0 {
		return nil, os.ErrClosed
	}
	return rawEndpoint{e}, nil
}

// rawEndpoint is a syscall.RawConn.
type rawEndpoint struct{ e *Endpoint }

func (r rawEndpoint) Control(f func(fd uintptr)) error {
	f(uintptr(r.e.fd))
	return nil
}

func (r rawEndpoint) Read(f func(fd uintptr) bool) error  { return r.until(WantSrc, f) }
func (r rawEndpoint) Write(f func(fd uintptr) bool) error { return r.until(WantDst, f) }

// until calls f, and again when the endpoint is ready, until it returns true.
func (r rawEndpoint) until(w Want, f func(fd uintptr) bool) error {
	var t Transfer
	defer t.wake.on(context.Background())()
	if w == WantSrc {
		t.start(nil, r.e)
	} else {
		t.start(r.e, nil)
	}
	for !f(uintptr(r.e.fd)) {
		t.moved = time.Now()
		if err := t.await(context.Background(), w, -1); err != nil {
			return err
		}
	}
	return nil
}
