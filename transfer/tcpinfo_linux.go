package transfer

import (
	"time"

	"golang.org/x/sys/unix"
)

// TCPInfo asks the kernel about a TCP connection; ok is false for everything else.
func (e *Endpoint) TCPInfo() (info TCPInfo, ok bool) {
	if e.kind != TCP {
		return info, false
	}
	i, err := unix.GetsockoptTCPInfo(e.fd, unix.SOL_TCP, unix.TCP_INFO)
	if err != nil {
		return info, false
	}
	us := func(n uint64) time.Duration { return time.Duration(n) * time.Microsecond }
	return TCPInfo{Busy: us(i.Busy_time), RwndLimited: us(i.Rwnd_limited), SndLimited: us(i.Sndbuf_limited),
		RTT: us(uint64(i.Rtt)), Retransmits: i.Total_retrans,
		MinRTT: us(uint64(i.Min_rtt)), PacingRate: i.Pacing_rate, DeliveryRate: i.Delivery_rate}, true
}
