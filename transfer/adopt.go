package transfer

import (
	"context"
	"net"
	"os"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/zcp-go/zcp/transfer/internal/sock"
)

// ListenAddress returns where Listen would listen, as network and address: names are looked up, and the network is that
// of the one IP version where there is only one.
func ListenAddress(ctx context.Context, network, address string) (string, string, error) {
	if network == "unix" {
		return network, address, nil
	}
	return onlyAddress(ctx, network, address)
}

// AdoptPlain returns a listener for a listening socket that another process has passed on, and owns fd. It removes the
// file of a Unix socket when it is closed, as ListenPlain's does.
func AdoptPlain(fd int) (net.Listener, error) {
	f := os.NewFile(uintptr(fd), "listener")
	defer f.Close()
	ln, err := net.FileListener(f)
	if err != nil {
		return nil, err
	}
	u, ok := ln.(*net.UnixListener)
	path := ln.Addr().String()
	if !ok || strings.HasPrefix(path, "@") {
		return ln, nil
	}
	return ownFileOf(u, path), nil
}

// AdoptListener is AdoptPlain for what Listen had opened in another process, or, where inherited, what that process was
// born with.
func AdoptListener(fd int, inherited bool) (*Listener, error) {
	if inherited {
		defer unix.Close(fd)
		return InheritListener(fd)
	}
	if err := sock.CheckStream(fd); err != nil {
		unix.Close(fd)
		return nil, err
	}
	ln, err := AdoptPlain(fd)
	if err != nil {
		return nil, err
	}
	return &Listener{ln: ln, restore: func() {}}, nil
}

// DupListener returns a duplicate of the socket of a listener of package net.
func DupListener(ln net.Listener) (int, error) {
	rc, err := ln.(syscall.Conn).SyscallConn()
	if err != nil {
		return -1, err
	}
	return sock.Dup(rc)
}

// LeaveListener closes a listener of ListenPlain and leaves the file of a Unix socket to another process.
func LeaveListener(ln net.Listener) {
	if own, ok := ln.(*ownFile); ok {
		own.UnixListener.Close()
		return
	}
	ln.Close()
}

// BothVersions tells whether a socket on [::] takes IPv4 as well.
func BothVersions(fd int) bool {
	only, err := unix.GetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY)
	return err == nil && only == 0
}
