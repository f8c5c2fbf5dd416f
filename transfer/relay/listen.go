package relay

import (
	"os"
	"sync/atomic"

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
	path    string
	file    os.FileInfo // of path when it was taken
	hidden  string      // what path is called while clients are turned away; "": it has its name
	restore func()
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
	for _, name := range []string{s.path, s.hidden} {
		if name != "" && s.isOurs(name) {
			_ = os.Remove(name) // refused where it is gone already
		}
	}
	s.restore()
}

func closeListeners(socks []*listenSocket) {
	for _, s := range socks {
		s.close()
	}
}
