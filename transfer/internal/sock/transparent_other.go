//go:build !linux

package sock

import (
	"net/netip"

	"golang.org/x/sys/unix"
)

// BindTransparent is refused on this system.
func BindTransparent(int, netip.Addr) error { return unix.ENOTSUP }
