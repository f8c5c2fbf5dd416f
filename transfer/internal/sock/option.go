package sock

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// KeepAlive finds a peer gone within two minutes.
var KeepAlive = net.KeepAliveConfig{Enable: true, Idle: 60 * time.Second, Interval: 10 * time.Second, Count: 6}

// Arm makes every close of a TCP socket a reset until it is disarmed (SO_LINGER {1, 0}). Where the
// system refuses that (see [Refused]) the socket works as well, only without that protection, and
// armed is false.
func Arm(fd int) (armed bool, err error) {
	err = unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
	if err != nil && !Refused(err) {
		return false, os.NewSyscallError("setsockopt", err)
	}
	return err == nil, nil
}

// ArmNew arms a socket that was opened by a system call of ours, and sends small segments at once
// (TCP_NODELAY), as package net has it for those that it opens. An inherited socket keeps its own.
func ArmNew(fd int) error {
	_, err := Arm(fd)
	NoDelay(fd)
	return err
}

// NoDelay sends small segments at once. It only helps: without it the last segment of an answer may be 40 ms
// late (Nagle, tcp(7)), though never the first one.
func NoDelay(fd int) { _ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1) }

// SetDSCP sets the traffic class of what a TCP socket sends: the upper six bits of IP_TOS (ip(7)) and of
// IPV6_TCLASS (ipv6(7)). Connections that a listening socket accepts inherit it. A socket of IPv6
// sends its IPv4 packets with IP_TOS.
func SetDSCP(fd, dscp int) error {
	sa, err := unix.Getsockname(fd)
	if err != nil {
		return os.NewSyscallError("getsockname", err)
	}
	err4 := unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_TOS, dscp<<2)
	if _, is6 := sa.(*unix.SockaddrInet6); is6 {
		return os.NewSyscallError("setsockopt", unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_TCLASS, dscp<<2))
	}
	return os.NewSyscallError("setsockopt", err4)
}

// Refused tells whether an error of setsockopt(2), getsockopt(2) or ioctl(2) on a socket means that
// this system, or this kind of socket, does not have what was asked for: seccomp profiles say
// EPERM or ENOSYS, MPTCP EOPNOTSUPP, old kernels ENOPROTOOPT, gVisor ENOTTY or EINVAL.
func Refused(err error) bool {
	switch e, _ := errors.AsType[unix.Errno](err); e {
	case unix.EPERM, unix.EACCES, unix.EINVAL, unix.ENOPROTOOPT, unix.ENOTTY, unix.EOPNOTSUPP, unix.ENOSYS:
		return true
	}
	return false
}

// Disarm lets a close end the connection in order again, with the SO_LINGER that is given.
func Disarm(fd int, linger unix.Linger) error {
	return os.NewSyscallError("setsockopt", unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &linger))
}

// ArmListener sets on a listening socket what accepted ones inherit from it on Linux and
// the BSDs, so that none of it is a system call for each connection: SO_LINGER {1, 0}, no
// delay, keepalive.
func ArmListener(fd int) error {
	err := ArmNew(fd)
	SetKeepAlive(fd)
	return err
}

// Before readies a new TCP socket for its connect(2): it is armed before there is a connection
// that could end in order, and where it is to have a source port of its own it may take one
// that an old connection still holds (SO_REUSEADDR, TIME_WAIT in tcp(7)). It does not set NoDelay.
func Before(fd int, sourcePort bool) error {
	if sourcePort {
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1) // refused: bind says what is wrong
	}
	_, err := Arm(fd)
	return err
}

// SelfConnected tells whether the ends of a TCP connection are one socket: connect(2) to a port on
// which nothing listens succeeds where it is the socket's own (RFC 9293, 3.5: simultaneous open).
func SelfConnected(fd int, to netip.AddrPort) bool {
	from := LocalAddr(fd)
	return from.IsValid() && from.Port() == to.Port() && from.Addr().WithZone("") == to.Addr().Unmap().WithZone("")
}

// Error takes the pending error of a socket (SO_ERROR). The kernel gives it once, so it is
// asked for only when no byte is wanted from the socket any more.
func Error(fd int) error {
	e, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ERROR)
	if err == nil && e != 0 {
		return unix.Errno(e)
	}
	if Refused(err) {
		return nil // none is known of; the next read or write has it
	}
	return err
}

// Listening tells whether fd is a socket that listens.
func Listening(fd int) bool {
	n, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ACCEPTCONN)
	return err == nil && n != 0
}

// IsFile tells whether path is the name of the socket file that was made. The number alone does not tell: ext4 gives
// it to the next file.
func IsFile(path string, made os.FileInfo) bool {
	now, err := os.Lstat(path)
	return err == nil && made != nil && now.Mode().Type() == os.ModeSocket && os.SameFile(now, made)
}

// Dup returns a descriptor of its own, close-on-exec, for what rc holds.
func Dup(rc syscall.RawConn) (int, error) {
	fd, err := -1, error(nil)
	if cerr := rc.Control(func(f uintptr) { fd, err = unix.FcntlInt(f, unix.F_DUPFD_CLOEXEC, 0) }); cerr != nil {
		return -1, cerr
	}
	return fd, os.NewSyscallError("fcntl", err)
}
