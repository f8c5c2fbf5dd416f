package sock

import (
	"fmt"
	"strings"

	"golang.org/x/sys/unix"
)

// A WrongKind says what a socket is that is not a stream of TCP or of a Unix socket.
type WrongKind struct{ What string }

func (e *WrongKind) Error() string {
	return fmt.Sprintf("a %s socket: zcp uses stream sockets of TCP and Unix only", e.What)
}

// CheckStream returns a *WrongKind for a socket of another kind: a record of a datagram or SEQPACKET
// socket that is longer than a read is cut off, and nothing says so (recv(2)). It returns ENOTSOCK for what
// is not a socket, and EBADF for a closed descriptor.
func CheckStream(fd int) error {
	typ, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TYPE)
	if Refused(err) {
		return nil // its first use tells
	}
	if err != nil {
		return err
	}
	family := "" // of a family that package unix does not know
	if sa, err := unix.Getsockname(fd); err == nil {
		switch sa.(type) {
		case *unix.SockaddrInet4, *unix.SockaddrInet6:
			family = "IP"
		case *unix.SockaddrUnix:
			family = "Unix"
		default:
			family = familyName(sa)
		}
	}
	switch {
	case typ == unix.SOCK_STREAM && (family == "IP" || family == "Unix"):
		return nil
	case typ == unix.SOCK_STREAM && family == "":
		return &WrongKind{"non-IP stream"}
	case typ == unix.SOCK_DGRAM && family == "IP":
		return &WrongKind{"UDP"}
	}
	return &WrongKind{strings.TrimSpace(family + " " + typeName(typ))}
}

func typeName(typ int) string {
	switch typ {
	case unix.SOCK_STREAM:
		return "stream"
	case unix.SOCK_DGRAM:
		return "datagram"
	case unix.SOCK_SEQPACKET:
		return "SEQPACKET"
	case unix.SOCK_RAW:
		return "raw"
	}
	return fmt.Sprintf("type %d", typ)
}
