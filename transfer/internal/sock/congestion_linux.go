package sock

import (
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// Congestion returns the congestion control of a TCP socket (TCP_CONGESTION, tcp(7)).
func Congestion(fd int) (string, error) {
	name, err := unix.GetsockoptString(fd, unix.IPPROTO_TCP, unix.TCP_CONGESTION)
	return name, os.NewSyscallError("getsockopt", err)
}

// SetCongestion chooses the congestion control of a TCP socket. The error is ENOENT for a name
// that the kernel does not have, and EPERM for one that this user may not choose.
func SetCongestion(fd int, algorithm string) error {
	return os.NewSyscallError("setsockopt", unix.SetsockoptString(fd, unix.IPPROTO_TCP, unix.TCP_CONGESTION, algorithm))
}

// Algorithms returns the congestion controls that there are, or that every user may choose.
func Algorithms(allowed bool) []string {
	name := "available"
	if allowed {
		name = "allowed"
	}
	b, err := os.ReadFile("/proc/sys/net/ipv4/tcp_" + name + "_congestion_control")
	if err != nil {
		return nil // a container may hide it
	}
	return strings.Fields(string(b))
}
