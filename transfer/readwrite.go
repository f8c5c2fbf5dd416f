package transfer

import "golang.org/x/sys/unix"

// pageSize is the most that a write to a pipe takes without waiting when poll has
// called a blocking pipe writable (pipe(7): room for one page).
const pageSize = 4096

// read takes up to len(b) bytes. Where the descriptor may block, the caller has
// polled it: a socket is asked not to wait all the same.
func (e *Endpoint) read(b []byte) (int, error) {
	if e.raw {
		return rawRead(e.fd, b)
	}
	for {
		n, err := 0, error(nil)
		if e.kind.Socket() {
			n, _, err = unix.Recvfrom(e.fd, b, unix.MSG_DONTWAIT)
		} else {
			n, err = unix.Read(e.fd, b)
		}
		if err != unix.EINTR {
			return max(n, 0), err
		}
	}
}

// write gives up to len(b) bytes away. Where the descriptor may block, the caller
// has polled it, and no more is written than cannot block.
func (e *Endpoint) write(b []byte) (int, error) {
	if e.raw {
		return rawWrite(e.fd, b)
	}
	for {
		n, err := 0, error(nil)
		switch {
		case e.kind.Socket():
			n, err = unix.SendmsgN(e.fd, b, nil, nil, unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL)
		case e.mayBlock() && len(b) > pageSize:
			n, err = unix.Write(e.fd, b[:pageSize])
		default:
			n, err = unix.Write(e.fd, b)
		}
		if err != unix.EINTR {
			return max(n, 0), err
		}
	}
}

// mayBlock tells whether a plain read or write on e could wait for a neighbour.
func (e *Endpoint) mayBlock() bool { return !e.nonblock && !e.kind.alwaysReady() }
