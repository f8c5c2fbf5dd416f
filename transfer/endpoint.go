package transfer

import (
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/zcp-go/zcp/transfer/internal/sock"
)

// Kind says what a descriptor is, as far as the choice of a path needs to know.
type Kind uint8

// The kinds of endpoints.
const (
	Other    Kind = iota // anything that is moved by read and write: message sockets, eventfd, ...
	File                 // a regular file on a file system that keeps files
	Pseudo               // a "regular file" that the kernel writes as it is read: /proc, /sys, cgroups
	Pipe                 // a pipe or FIFO
	TCP                  // a TCP socket
	Unix                 // a Unix stream socket
	Char                 // a character device that is not a terminal
	Terminal             // a terminal
	Block                // a block device
	numKinds
)

var kindNames = [numKinds]string{"other", "file", "pseudo file", "pipe", "TCP", "Unix socket", "device", "terminal", "block device"}

func (k Kind) String() string { return kindNames[k] }

// Socket tells whether k is a stream socket.
func (k Kind) Socket() bool { return k == TCP || k == Unix }

// alwaysReady tells whether reads and writes of this kind never wait for a
// neighbour, so that poll has nothing to say about it.
func (k Kind) alwaysReady() bool { return k == File || k == Pseudo || k == Block }

// An Endpoint is one end of a transfer: a descriptor and what is known about it.
// Nothing wraps a descriptor on its way to the kernel, or the kernel's paths would be lost.
type Endpoint struct {
	fd       int
	kind     Kind
	nonblock bool // O_NONBLOCK is set: no call on it waits
	owned    bool // opened here, so closed here
	waits    bool // a write on it cannot be asked not to wait
	raw      bool // a socket of ours that never waits: read and write as rawcall_linux.go says
	dev, ino uint64
	rdev     uint64
	guard    *guard         // while the source is watched over
	prealloc *preallocation // where the destination's blocks are allocated first
}

// NewEndpoint describes an open descriptor and takes no ownership of it. It
// fails with what fstat(2) says, and for directories.
func NewEndpoint(fd int) (*Endpoint, error) {
	var st unix.Stat_t
	if err := sock.Retry(func() error { return unix.Fstat(fd, &st) }); err != nil {
		return nil, os.NewSyscallError("fstat", err)
	}
	e := &Endpoint{fd: fd, dev: uint64(st.Dev), ino: st.Ino, rdev: uint64(st.Rdev)}
	fl, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
	if err != nil {
		return nil, os.NewSyscallError("fcntl", err)
	}
	e.nonblock = fl&unix.O_NONBLOCK != 0
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFDIR:
		return nil, unix.EISDIR
	case unix.S_IFREG:
		e.kind = File
		if pseudoFile(fd) {
			e.kind = Pseudo
		}
	case unix.S_IFIFO:
		e.kind = Pipe
	case unix.S_IFBLK:
		e.kind = Block
	case unix.S_IFCHR:
		e.kind = Char
		if isTerminal(fd) {
			e.kind = Terminal
		}
	case unix.S_IFSOCK:
		e.kind = socketKind(fd)
	}
	return e, nil
}

// Own returns an endpoint for a descriptor that the caller opened and now gives
// away: Close closes it, and where it can block it is made non-blocking, which is
// safe only because no other process has its open file description.
func Own(fd int) (*Endpoint, error) {
	e, err := NewEndpoint(fd)
	if err != nil {
		unix.Close(fd)
		return nil, err
	}
	e.owned = true
	if !e.kind.alwaysReady() && !e.nonblock {
		if err := unix.SetNonblock(fd, true); err != nil {
			unix.Close(fd)
			return nil, os.NewSyscallError("fcntl", err)
		}
		e.nonblock = true
	}
	return e, nil
}

// Socket returns the endpoint of a connected socket that the caller opened and that never
// waits. Every call on it is a raw one, see rawcall_linux.go: it is for event loops.
func Socket(fd int, kind Kind) Endpoint {
	return Endpoint{fd: fd, kind: kind, nonblock: true, owned: true, raw: true}
}

// Disown closes nothing: it returns the descriptor of an endpoint that its driver closes itself.
func (e *Endpoint) Disown() int {
	fd := e.fd
	e.fd = -1
	return fd
}

// Inherit returns an endpoint for a descriptor that the process was born with.
// Its O_NONBLOCK is shared with other processes and stays as it is; a pipe, FIFO
// or terminal is opened once more through /proc for a description of our own
// that does not block. Where that is refused (another user's pipe, no /proc) the
// descriptor itself is used, and every call on it asks not to wait.
func Inherit(fd int) (*Endpoint, error) {
	e, err := NewEndpoint(fd)
	if err != nil || e.nonblock || (e.kind != Pipe && e.kind != Terminal) {
		return e, err
	}
	fl, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
	if err != nil {
		return nil, os.NewSyscallError("fcntl", err)
	}
	again, err := unix.Open("/proc/self/fd/"+strconv.Itoa(fd), fl&unix.O_ACCMODE|unix.O_NONBLOCK|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		return e, nil // the first description serves as well, only less comfortably
	}
	own, err := Own(again)
	if err != nil || own.dev != e.dev || own.ino != e.ino {
		return e, nil
	}
	return own, nil
}

// FD returns the descriptor. It stays the endpoint's.
func (e *Endpoint) FD() int { return e.fd }

// Kind returns what the descriptor is.
func (e *Endpoint) Kind() Kind { return e.kind }

// SameFile tells whether both endpoints are the same regular file or block
// device, so that reading one while writing the other would eat its own tail.
func (e *Endpoint) SameFile(o *Endpoint) bool {
	switch {
	case e.kind == File && o.kind == File:
		return e.dev == o.dev && e.ino == o.ino
	case e.kind == Block && o.kind == Block:
		return e.rdev == o.rdev
	}
	return false
}

// Close gives up a lease and closes the descriptor if this package opened it.
func (e *Endpoint) Close() error {
	if e.guard != nil {
		e.guard.release(e.fd)
		e.guard.writes.stop()
	}
	if !e.owned || e.fd < 0 {
		return nil
	}
	fd := e.fd
	e.fd = -1
	// close(2): on Linux the descriptor is gone even after EINTR, so it is never tried twice.
	if err := unix.Close(fd); err != nil && err != unix.EINTR {
		return os.NewSyscallError("close", err)
	}
	return nil
}

// Size returns how many bytes a regular file or block device holds from its
// current offset on (lseek(2), fstat(2)), or -1 where nothing can be known before reading.
func (e *Endpoint) Size() int64 {
	at := e.offset()
	if at < 0 {
		return -1
	}
	end := int64(-1)
	switch e.kind {
	case File:
		// A file system that computes its files may say 0 and have bytes (FUSE with direct_io).
		if end = e.FileSize(); end == 0 {
			return -1
		}
	case Block:
		end = deviceSize(e.fd, at)
	}
	if end < 0 {
		return -1
	}
	return max(0, end-at)
}

// offset returns where the next read of a regular file or block device begins, or -1.
func (e *Endpoint) offset() int64 {
	if e.kind != File && e.kind != Block {
		return -1
	}
	at, err := unix.Seek(e.fd, 0, unix.SEEK_CUR)
	if err != nil {
		return -1
	}
	return at
}

// Skip moves the offset of a regular file or block device n bytes on. Others have none (ESPIPE).
func (e *Endpoint) Skip(n int64) error {
	if e.kind != File && e.kind != Block {
		return unix.ESPIPE
	}
	_, err := unix.Seek(e.fd, n, unix.SEEK_CUR)
	if e.guard != nil && err == nil {
		e.guard.taken += n // what was copied is not all in one piece now, see sameAsSent
	}
	return err
}

// putBack moves the offset of a regular file or block device n bytes back, which were taken and not
// delivered: a process that shares it goes on behind what was. It returns how many are lost.
func (e *Endpoint) putBack(n int64) (lost int64) {
	if n == 0 || e.kind != File && e.kind != Block {
		return n
	}
	if _, err := unix.Seek(e.fd, -n, unix.SEEK_CUR); err != nil {
		return n
	}
	return 0
}

// MoveTo sets the offset from which a regular file or block device is read or written next. The
// watch over a source goes on: it covers all that is sent, in however many stretches. The error is
// that of lseek(2).
func (e *Endpoint) MoveTo(at int64) error {
	if _, err := unix.Seek(e.fd, at, unix.SEEK_SET); err != nil {
		return os.NewSyscallError("lseek", err)
	}
	if e.guard != nil {
		e.guard.moveTo(at)
	}
	return nil
}

func (e *Endpoint) String() string { return fmt.Sprintf("%s fd %d", e.kind, e.fd) }

func socketKind(fd int) Kind {
	if typ, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TYPE); err != nil || typ != unix.SOCK_STREAM {
		return Other
	}
	sa, _ := unix.Getsockname(fd) // of a refusal nothing is known
	switch sa.(type) {
	case *unix.SockaddrUnix:
		return Unix
	case *unix.SockaddrInet4, *unix.SockaddrInet6:
		return TCP
	}
	return Other
}

// FileSize returns the bytes in a regular file (fstat(2)), 0 for everything else.
func (e *Endpoint) FileSize() int64 {
	var st unix.Stat_t
	if e.kind != File || sock.Retry(func() error { return unix.Fstat(e.fd, &st) }) != nil {
		return 0
	}
	return st.Size
}

// Unacked returns how many bytes of a socket's stream the peer's kernel has not
// acknowledged (TCP) or the peer has not read (Unix), as SIOCOUTQ tells. Our FIN counts
// as one byte in it. It is 0 for everything else.
func (e *Endpoint) Unacked() (int64, error) {
	if !e.kind.Socket() {
		return 0, nil
	}
	return sock.Unacked(e.fd)
}
