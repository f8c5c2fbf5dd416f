package relay

import (
	"errors"
	"os"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/zcp-go/zcp/transfer"
)

// A listenSocket is a listening socket outside the runtime's poller, which would be woken
// for each client beside the loop.
type listenSocket struct {
	fd      int
	addr    string
	users   atomic.Int32 // loops that accept from it
	ours    bool         // opened here, so that options for accepted sockets may be set on it
	unpaced bool         // what it accepts is not paced, though the host's congestion control paces
	path    string
	file    os.FileInfo // of path when it was taken
	hidden  string      // what path is called while clients are refused; "": it has its name
	restore func()
	passed  bool // another process has it too: nothing but the descriptor is closed
	route   *route
	figures figures
}

func takeListeners(lns []*transfer.Listener) ([]*listenSocket, error) {
	var socks []*listenSocket
	for i, ln := range lns {
		s, err := take(ln)
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
func take(ln *transfer.Listener) (s *listenSocket, err error) {
	s = &listenSocket{addr: ln.Addr().String()}
	unixSocket := ln.Addr().Network() == "unix"
	inherited := false
	if s.fd, inherited, s.restore, err = ln.Take(); err != nil {
		return nil, err
	}
	s.ours = !inherited
	if unixSocket && s.ours && s.addr[0] != '@' {
		s.path = s.addr
		s.file, _ = os.Lstat(s.path) // where it fails there is no file to remove
	}
	return s, nil
}

func (s *listenSocket) close() {
	if s.fd < 0 {
		return
	}
	unix.Close(s.fd)
	s.fd = -1
	if s.passed {
		return
	}
	for _, name := range []string{s.path, s.hidden} {
		if name != "" && s.isOurs(name) {
			_ = os.Remove(name) // refused where it is gone already
		}
	}
	s.restore()
}

// A Passed is a duplicate of a listening socket, for another process.
type Passed struct {
	Addr      string
	FD        int  // closes on exec
	Inherited bool // the process was born with it
}

// Pass returns duplicates of the listening sockets, in the order of Serve, which go on being served here. It fails
// before Serve has begun, when the listeners are closed, and where there are not enough descriptors.
func (r *Relay) Pass() (all []Passed, err error) {
	r.closing.Lock()
	defer r.closing.Unlock()
	r.mu.Lock()
	socks := r.socks
	r.mu.Unlock()
	for _, s := range socks {
		fd := -1
		if err == nil {
			fd, err = unix.FcntlInt(uintptr(s.fd), unix.F_DUPFD_CLOEXEC, 0)
		}
		if err == nil {
			all = append(all, Passed{s.addr, fd, !s.ours})
		}
	}
	if err == nil && len(all) == 0 {
		err = errors.New("the relay does not serve yet")
	}
	if err != nil {
		for _, p := range all {
			unix.Close(p.FD)
		}
		return nil, os.NewSyscallError("fcntl", err)
	}
	return all, nil
}

// HandOver is Drain where another process goes on with what Pass returned: the files and options of the listening
// sockets are left to it, and clients that wait in their backlogs as well.
func (r *Relay) HandOver(limit time.Duration) {
	r.closing.Lock()
	r.mu.Lock()
	for _, s := range r.socks {
		s.passed = true
	}
	r.mu.Unlock()
	r.closing.Unlock()
	r.Drain(limit)
}

func closeListeners(socks []*listenSocket) {
	for _, s := range socks {
		s.close()
	}
}
