//go:build !linux

package transfer

// TCPInfo is not known on this system.
func (e *Endpoint) TCPInfo() (info TCPInfo, ok bool) { return info, false }
