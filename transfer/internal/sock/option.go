package sock

import (
	"net"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// KeepAlive finds a peer gone within two minutes.
var KeepAlive = net.KeepAliveConfig{Enable: true, Idle: 60 * time.Second, Interval: 10 * time.Second, Count: 6}

// Arm makes every close of a TCP socket a reset until it is disarmed (SO_LINGER {1, 0}).
func Arm(fd int) error {
	return os.NewSyscallError("setsockopt", unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1}))
}

// ArmNew arms a socket that was opened by a system call of ours, and sends small segments at once
// (TCP_NODELAY), as package net has it for those that it opens. An inherited socket keeps its own.
func ArmNew(fd int) error {
	if err := Arm(fd); err != nil {
		return err
	}
	return os.NewSyscallError("setsockopt", unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1))
}

// Disarm lets a close end the connection in order again, with the SO_LINGER that is given.
func Disarm(fd int, linger unix.Linger) error {
	return os.NewSyscallError("setsockopt", unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &linger))
}

// ArmListener sets on a listening socket what accepted ones inherit from it on Linux and
// the BSDs, so that none of it is a system call for each connection: SO_LINGER {1, 0}, no
// delay, keepalive.
func ArmListener(fd int) error {
	if err := ArmNew(fd); err != nil {
		return err
	}
	return SetKeepAlive(fd)
}

// Error takes the pending error of a socket (SO_ERROR). The kernel gives it once, so it is
// asked for only when no byte is wanted from the socket any more.
func Error(fd int) error {
	e, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ERROR)
	if err == nil && e != 0 {
		return unix.Errno(e)
	}
	return err
}

// Listening tells whether fd is a socket that listens.
func Listening(fd int) bool {
	n, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ACCEPTCONN)
	return err == nil && n != 0
}

// Dup returns a descriptor of its own, close-on-exec, for what rc holds.
func Dup(rc syscall.RawConn) (int, error) {
	fd, err := -1, error(nil)
	if cerr := rc.Control(func(f uintptr) { fd, err = unix.FcntlInt(f, unix.F_DUPFD_CLOEXEC, 0) }); cerr != nil {
		return -1, cerr
	}
	return fd, os.NewSyscallError("fcntl", err)
}
