package transfer

import (
	"net"
	"os"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"
)

// A listenSocket is a listening socket that left the runtime's poller, which would be
// woken for each client beside the loop.
type listenSocket struct {
	fd      int
	addr    string
	users   atomic.Int32 // loops that accept from it
	ours    bool         // opened here, so that options for accepted sockets may be set on it
	path    string
	file    os.FileInfo // of path when it was taken
	restore func()
}

func takeListeners(lns []*Listener) ([]*listenSocket, error) {
	var socks []*listenSocket
	for i, ln := range lns {
		s, err := ln.take()
		if err != nil {
			closeListeners(socks)
			for _, rest := range lns[i+1:] {
				rest.Close()
			}
			return nil, err
		}
		socks = append(socks, s)
	}
	return socks, nil
}

// take closes ln and returns its socket.
func (l *Listener) take() (*listenSocket, error) {
	rc, err := l.ln.(syscall.Conn).SyscallConn()
	if err != nil {
		l.Close()
		return nil, err
	}
	s := &listenSocket{addr: l.ln.Addr().String(), ours: !l.inherited, restore: l.restore}
	s.fd, err = dupOf(rc)
	if err != nil {
		l.Close()
		return nil, err
	}
	if u, ok := l.ln.(*net.UnixListener); ok {
		if s.ours && s.addr[0] != '@' {
			s.path = s.addr
			s.file, _ = os.Lstat(s.path) // where it fails there is no file to remove
		}
		u.SetUnlinkOnClose(false)
	}
	l.ln.Close()
	return s, nil
}

func dupOf(rc syscall.RawConn) (int, error) {
	fd, err := -1, error(nil)
	if cerr := rc.Control(func(f uintptr) { fd, err = unix.FcntlInt(f, unix.F_DUPFD_CLOEXEC, 0) }); cerr != nil {
		return -1, cerr
	}
	return fd, os.NewSyscallError("fcntl", err)
}

// armAccepted sets on a listening socket what accepted ones inherit from it on Linux and
// the BSDs, so that none of it is a system call for each connection: SO_LINGER {1, 0}, no
// delay, keepalive.
func armAccepted(fd int) error {
	if err := armFD(fd); err != nil {
		return err
	}
	return keepAliveFD(fd)
}

// armFD makes every close of a TCP socket a reset until it is disarmed, and sends small
// segments at once.
func armFD(fd int) error {
	if err := unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1}); err != nil {
		return os.NewSyscallError("setsockopt", err)
	}
	return os.NewSyscallError("setsockopt", unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1))
}

func (s *listenSocket) close() {
	if s.fd < 0 {
		return
	}
	unix.Close(s.fd)
	s.fd = -1
	if s.path != "" {
		if now, err := os.Lstat(s.path); err == nil && s.file != nil && os.SameFile(now, s.file) {
			_ = os.Remove(s.path) // somebody was faster
		}
	}
	s.restore()
}

func closeListeners(socks []*listenSocket) {
	for _, s := range socks {
		s.close()
	}
}
