package sock

import "golang.org/x/sys/unix"

func familyName(sa unix.Sockaddr) string {
	switch sa.(type) {
	case *unix.SockaddrVM:
		return "VSOCK"
	case *unix.SockaddrNetlink:
		return "netlink"
	}
	return ""
}
