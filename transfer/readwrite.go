package transfer

import (
	"golang.org/x/sys/unix"

	"github.com/zcp-go/zcp/transfer/internal/sock"
)

// pageSize is the most that a write to a pipe takes without waiting when poll has
// called a blocking pipe writable (pipe(7): room for one page).
const pageSize = 4096

// read takes up to len(b) bytes. Where the descriptor may block, the caller has
// polled it: a socket is asked not to wait all the same.
func (e *Endpoint) read(b []byte) (int, error) {
	if e.raw {
		return rawRead(e.fd, b)
	}
	n, err := sock.RetryN(func() (n int, err error) {
		if e.kind.Socket() {
			n, _, err = unix.Recvfrom(e.fd, b, unix.MSG_DONTWAIT)
			return n, err
		}
		return unix.Read(e.fd, b)
	})
	return max(n, 0), err
}

// write gives up to len(b) bytes away. Where the descriptor may block, the caller
// has polled it, and no more is written than cannot block.
func (e *Endpoint) write(b []byte) (int, error) {
	if e.raw {
		return rawWrite(e.fd, b)
	}
	if !e.kind.Socket() && e.mayBlock() {
		if e.kind == Pipe && !e.waits {
			n, err := writeNow(e.fd, b)
			if !sock.Refused(err) {
				return n, err
			}
			e.waits = true
		}
		b = b[:min(len(b), pageSize)]
	}
	n, err := sock.RetryN(func() (int, error) {
		if e.kind.Socket() {
			return unix.SendmsgN(e.fd, b, nil, nil, unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL)
		}
		return unix.Write(e.fd, b)
	})
	return max(n, 0), err
}

// mayBlock tells whether a plain read or write on e could wait for a neighbour.
func (e *Endpoint) mayBlock() bool { return !e.nonblock && !e.kind.alwaysReady() }
