package cmd

import (
	"fmt"
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// peerOfSameUser returns the process at the other end of a Unix socket (SO_PEERCRED, unix(7)), if it is of this user.
func peerOfSameUser(c *net.UnixConn) (pid int, err error) {
	rc, err := c.SyscallConn()
	if err != nil {
		return 0, err
	}
	var who *unix.Ucred
	if cerr := rc.Control(func(fd uintptr) { who, err = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) }); cerr != nil {
		return 0, cerr
	}
	if err != nil {
		return 0, os.NewSyscallError("getsockopt", err)
	}
	if who.Uid != uint32(os.Geteuid()) {
		return 0, fmt.Errorf("process %d is another user's (%d)", who.Pid, who.Uid)
	}
	return int(who.Pid), nil
}
