package tree

import (
	"context"
	"io"

	"github.com/zcp-go/zcp/transfer"
)

const (
	// streamBuffer is how much is read at once where headers and small bodies are, in bytes; what of a
	// large body is not among it goes from the source to its file.
	streamBuffer = 64 << 10
	// atOnce is the most that have returns: headers, or a small body.
	atOnce = smallBody
)

// A stream is a source as archive/tar reads it. Bodies may be taken out of it behind the
// reader's back: it then gets as many zeros, which it skips. A digest of the transfer gets all of
// the stream, in order.
type stream struct {
	ctx   context.Context
	t     *transfer.Transfer
	src   *transfer.Endpoint
	buf   []byte // what was read ahead
	store []byte
	owed  int64 // bytes of a body that was taken out
	taken int64 // bytes, bodies included
	zeros int64 // read last, in a row: padding is less than a block, the end mark is not
	at    int64 // moved by Seek
	ended bool

	scratch [32 << 10]byte // what is passed over
	err     error          // of the transfer
}

// peek returns the first block, or less where the source ends.
func (s *stream) peek() ([]byte, error) {
	s.store = make([]byte, atOnce+streamBuffer)
	n, err := s.t.ReadFull(s.ctx, s.src, s.store[:blockSize])
	s.buf = s.store[:n]
	return s.buf, err
}

func (s *stream) Read(b []byte) (int, error) {
	if s.owed > 0 {
		n := int(min(s.owed, int64(len(b))))
		clear(b[:n])
		s.zeros = 0
		s.owed -= int64(n)
		return n, nil
	}
	if got, err := s.have(1); err != nil {
		return 0, err
	} else if !got {
		return 0, io.EOF
	}
	n := len(s.take(copy(b, s.buf)))
	s.zeros += int64(n)
	if !allZero(b[:n]) {
		s.zeros = 0
	}
	return n, nil
}

// have reads ahead until there are n bytes, at most atOnce. It returns false where the source ends before.
func (s *stream) have(n int) (bool, error) {
	for len(s.buf) < n {
		if s.ended {
			return false, nil
		}
		if cap(s.buf)-len(s.buf) < streamBuffer {
			s.buf = s.store[:copy(s.store, s.buf)]
		}
		m, err := s.t.Read(s.ctx, s.src, s.buf[len(s.buf):len(s.buf)+streamBuffer])
		if err != nil {
			s.err = err
			return false, err
		}
		s.ended = m == 0
		s.buf = s.buf[:len(s.buf)+m]
	}
	return true, nil
}

// take takes n bytes that are there. Bodies but small ones go by the transfer, which has its digest see them.
func (s *stream) take(n int) []byte {
	b := s.buf[:n]
	s.buf = s.buf[n:]
	s.taken += int64(n)
	if h := s.t.Digest; h != nil {
		h.Write(b)
	}
	return b
}

// skip goes on to a place in the stream: where the next header is. What was taken out of the member
// before it is not read again.
func (s *stream) skip(to int64) error {
	s.owed = 0
	for s.taken < to {
		got, err := s.have(1)
		if err != nil {
			return err
		}
		if !got {
			return io.ErrUnexpectedEOF
		}
		s.take(int(min(to-s.taken, int64(len(s.buf)))))
	}
	return nil
}

func allZero(b []byte) bool {
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}

// Seek is how archive/tar passes over a body: bytes of it are not an end mark, and those that were
// taken out need not be made. It knows only io.SeekCurrent. The byte that archive/tar then reads
// for itself is of the body, too.
func (s *stream) Seek(n int64, _ int) (int64, error) {
	for left := n; left > 0; {
		m := min(left, s.owed)
		s.owed -= m
		if m == 0 {
			got, err := s.Read(s.scratch[:min(left, int64(len(s.scratch)))])
			if err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			if err != nil {
				return -1, err
			}
			m = int64(got)
		}
		left -= m
		s.at += m
	}
	s.zeros = 0
	if n > 0 {
		s.zeros = -1
	}
	return s.at, nil
}

// body moves the next n bytes to a file.
func (s *stream) body(dst *transfer.Endpoint, n int64) error {
	ahead := min(n, int64(len(s.buf)))
	if ahead > 0 {
		if _, err := s.t.Write(s.ctx, dst, s.buf[:ahead]); err != nil {
			return err
		}
		s.buf = s.buf[ahead:]
	}
	if n > ahead {
		m, err := s.t.Move(s.ctx, dst, s.src, n-ahead)
		if err != nil {
			return err
		}
		if m < n-ahead {
			return io.ErrUnexpectedEOF
		}
	}
	s.owed, s.zeros = n, 0
	s.taken += n
	return nil
}

// rest reads what follows the end mark, which tar pads to its record.
func (s *stream) rest() error {
	_, err := io.Copy(io.Discard, s)
	return err
}
