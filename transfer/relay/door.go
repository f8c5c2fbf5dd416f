package relay

import (
	"os"
	"time"

	"github.com/zcp-go/zcp/transfer/internal/sock"
)

// doorClosed is what is added to running.open by closeDoor: reserve refuses then, and nothing is accepted.
const doorClosed = 1 << 40

// openNow returns how many connections are open.
func (r *Relay) openNow() int { return int(r.open.Load() % doorClosed) }

// closeDoor has no loop accept any more, unless a connection is open or one waits to be
// accepted, and reports whether it did. To accept and then to leave would be the worst for the
// clients after that one; to leave with clients in the backlog would reset them. So each listener
// of our own turns clients away before its backlog is looked at. An inherited one keeps its backlog
// for its other holders.
func (r *Relay) closeDoor(socks []*listenSocket) bool {
	if !r.open.CompareAndSwap(0, doorClosed) {
		return false
	}
	for i, s := range socks {
		s.turnAway()
		if sock.PollNow(s.fd, pollIn)&pollIn != 0 {
			for _, s := range socks[:i+1] {
				s.letIn()
			}
			r.openDoor()
			return false
		}
	}
	return true
}

// openDoor has the loops accept again.
func (r *Relay) openDoor() {
	r.open.Add(-doorClosed)
	r.emptied.Store(int64(time.Since(r.base)))
	r.atMaxConns.Store(false)
	r.each((*loop).makeRoom)
}

// turnAway has new clients find no listener, or one that does not answer yet: what a TCP socket
// receives is dropped, and a client sends its SYN again after a second, when there is a successor or
// a refusal; a Unix socket loses its name. Clients in the backlog stay there. An abstract name cannot be taken away.
func (s *listenSocket) turnAway() {
	switch {
	case !s.ours:
	case s.path == "":
		sock.DropIncoming(s.fd, true)
	case s.isOurs(s.path):
		if hidden := s.path + ".closing"; os.Link(s.path, hidden) == nil { // refused: the name stays to the end
			_ = os.Remove(s.path) // it was there just now
			s.hidden = hidden
		}
	}
}

// letIn undoes turnAway. Where another listener has taken the name meanwhile it keeps it, and ours
// serves those that had come before.
func (s *listenSocket) letIn() {
	switch {
	case !s.ours:
	case s.path == "":
		sock.DropIncoming(s.fd, false)
	case s.hidden != "":
		_ = os.Link(s.hidden, s.path)
		_ = os.Remove(s.hidden) // it is ours
		s.hidden = ""
	}
}

// isOurs reports whether a name is that of the socket file that was made.
func (s *listenSocket) isOurs(name string) bool { return sock.IsFile(name, s.file) }
