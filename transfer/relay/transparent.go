package relay

import (
	"net/netip"

	"golang.org/x/sys/unix"

	"github.com/zcp-go/zcp/transfer/internal/sock"
)

// CheckAsClient returns an error where this process may not connect from addresses that are not the host's: it takes
// CAP_NET_ADMIN or CAP_NET_RAW in the network's user namespace (IP_TRANSPARENT, ip(7)).
func CheckAsClient() error {
	fd, err := sock.Stream(unix.AF_INET)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return sock.BindTransparent(fd, netip.AddrFrom4([4]byte{192, 0, 2, 1})) // TEST-NET-1, RFC 5737
}
