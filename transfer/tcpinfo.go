package transfer

import "time"

// TCPInfo is what the kernel knows of a connection's sending half (TCP_INFO, tcp(7)).
type TCPInfo struct {
	Busy        time.Duration // time with bytes to send or unacknowledged
	RwndLimited time.Duration // of that, held up by the receiver's window
	SndLimited  time.Duration // of that, held up by our own send buffer
	RTT         time.Duration // smoothed
	Retransmits uint32        // segments sent again, over the connection's life

	MinRTT       time.Duration // the shortest round trip of the last minutes
	PacingRate   uint64        // bytes a second; it holds only for an algorithm that paces
	DeliveryRate uint64        // bytes a second that were acknowledged lately
}
