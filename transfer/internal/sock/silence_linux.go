package sock

import (
	"time"

	"golang.org/x/sys/unix"
)

// PeerLimit is how long a peer may answer nothing that it must answer before it is gone.
const PeerLimit = 2 * time.Minute

// A Silence tells a dead peer from one that merely does not read. A living peer
// answers every window probe and every retransmission, so that both counts go back to
// 0; the age of the last acknowledgement alone proves nothing (measured; see TCP_INFO in tcp(7)).
type Silence struct{ since time.Time }

// Gone asks once and tells whether the peer has been silent for PeerLimit.
func (s *Silence) Gone(fd int, now time.Time) bool {
	info, err := unix.GetsockoptTCPInfo(fd, unix.SOL_TCP, unix.TCP_INFO)
	if err != nil || info.Retransmits == 0 && info.Probes == 0 {
		s.since = time.Time{}
		return false
	}
	heard := now.Add(-time.Duration(info.Last_ack_recv) * time.Millisecond)
	if s.since.IsZero() || heard.After(s.since) {
		s.since = now
	}
	return now.Sub(s.since) >= PeerLimit
}

// Unacked returns how many bytes of a socket's stream the peer's kernel has not acknowledged
// (TCP) or the peer has not read (Unix), as SIOCOUTQ tells. Our FIN counts as one byte in it.
func Unacked(fd int) (int64, error) {
	n, err := unix.IoctlGetInt(fd, unix.SIOCOUTQ)
	return int64(n), err
}
