//go:build linux

package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// A listener accepts connections for discard.
type listener struct{ fd, port int }

// patient makes a socket's calls, accept among them, end when one byte or one connection takes as long as a run may.
func patient(fd int) error {
	limit := unix.NsecToTimeval(runLimit.Nanoseconds())
	return errors.Join(
		unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &limit),
		unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &limit))
}

func listenTCP() (l listener, err error) {
	if l.fd, err = unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0); err != nil {
		return l, err
	}
	if err = patient(l.fd); err == nil {
		err = unix.Bind(l.fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}})
	}
	if err == nil {
		err = unix.Listen(l.fd, 128)
	}
	name, nameErr := unix.Getsockname(l.fd)
	if err = errors.Join(err, nameErr); err != nil {
		unix.Close(l.fd)
		return l, err
	}
	l.port = name.(*unix.SockaddrInet4).Port
	return l, nil
}

// accept accepts one connection.
func (l listener) accept() (int, error) {
	fd, err := restart(func() (int, error) {
		fd, _, err := unix.Accept4(l.fd, unix.SOCK_CLOEXEC)
		return fd, err
	})
	if err != nil {
		return -1, fmt.Errorf("no connection: %w", err)
	}
	return fd, patient(fd)
}

// discard accepts one connection and takes everything from it: without a look, which
// MSG_TRUNC lets the kernel do without a copy, or with a sum. One that spins copies all bytes and asks
// again and again, so that no sender has to wake it: a halted virtual processor costs the waker 20 to 50 us.
func (l listener) discard(look, spin bool) (got payload, err error) {
	fd, err := l.accept()
	if err != nil {
		return got, err
	}
	defer unix.Close(fd)
	flags, buf := unix.MSG_TRUNC, make([]byte, 4*chunk)
	if look || spin {
		flags = 0
	}
	if spin {
		flags = unix.MSG_DONTWAIT
	}
	return receive(buf, look, func() (int, error) {
		for {
			if n, _, err := unix.Recvfrom(fd, buf, flags); !spin || err != unix.EAGAIN {
				return n, err
			}
		}
	})
}

// farCongestion keeps the far ends from being the limit: what is measured under an algorithm that
// paces is the tool. reno is in every kernel, and every user may choose it (tcp(7)).
func farCongestion(fd int) error {
	return unix.SetsockoptString(fd, unix.IPPROTO_TCP, unix.TCP_CONGESTION, "reno")
}

// sendTo connects to a port of this host, sends the first n bytes of a file by sendfile,
// and waits for the other side to close.
func sendTo(name string, port int, n int64) (payload, error) {
	file, err := os.Open(name)
	if err != nil {
		return payload{}, err
	}
	defer file.Close()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return payload{}, err
	}
	defer unix.Close(fd)
	if err := errors.Join(patient(fd), farCongestion(fd)); err != nil {
		return payload{}, err
	}
	if err := connect(fd, port); err != nil {
		return payload{}, fmt.Errorf("connect: %w", err)
	}
	src := int(file.Fd())
	for off := int64(0); off < n; {
		_, err := restart(func() (int, error) { return unix.Sendfile(fd, src, &off, int(min(n-off, 64*chunk))) })
		if err != nil {
			return payload{}, fmt.Errorf("the source: %w", err)
		}
	}
	if err := unix.Shutdown(fd, unix.SHUT_WR); err != nil {
		return payload{}, err
	}
	_, err = restart(func() (int, error) { return unix.Read(fd, make([]byte, 1)) })
	return payload{}, err
}

// connect connects to a port of this host. A connect that a signal has interrupted goes on
// by itself (connect(2)); the second call tells how it ended.
func connect(fd, port int) error {
	to := &unix.SockaddrInet4{Port: port, Addr: [4]byte{127, 0, 0, 1}}
	err := unix.Connect(fd, to)
	for err == unix.EINTR || err == unix.EALREADY {
		_, _ = unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}, -1)
		if err = unix.Connect(fd, to); err == unix.EISCONN {
			return nil
		}
	}
	return err
}

// waitListening waits until a process listens on the port. Connecting to see would be
// taken for the connection.
func waitListening(port int) error {
	want := fmt.Sprintf(":%04X", port)
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
		for _, table := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
			text, _ := os.ReadFile(table)
			for line := range strings.Lines(string(text)) {
				f := strings.Fields(line)
				if len(f) > 3 && strings.HasSuffix(f[1], want) && f[3] == "0A" {
					return nil
				}
			}
		}
	}
	return fmt.Errorf("no process listens on port %d", port)
}

// close closes the listener, and resets what waits in its queue.
func (l listener) close() { unix.Close(l.fd) }

// waitQueued waits until a connection to this port, accepted or not, holds n unread bytes.
func waitQueued(port int, n int64) error {
	want := fmt.Sprintf(":%04X", port)
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
		text, err := os.ReadFile("/proc/net/tcp")
		if err != nil {
			return err
		}
		for line := range strings.Lines(string(text)) {
			f := strings.Fields(line)
			if len(f) < 5 || !strings.HasSuffix(f[1], want) || f[3] == "0A" {
				continue
			}
			_, queued, _ := strings.Cut(f[4], ":")
			if got, _ := strconv.ParseInt(queued, 16, 64); got >= n {
				return nil
			}
		}
	}
	return fmt.Errorf("the bytes never came to port %d", port)
}

// waitSent waits until the peer's kernel has acknowledged all that was written.
func waitSent(c *net.TCPConn) error {
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
		left := -1
		err := raw.Control(func(fd uintptr) { left, err = unix.IoctlGetInt(int(fd), unix.SIOCOUTQ) })
		if err != nil || left == 0 {
			return err
		}
	}
	return errors.New("the peer does not take what was sent")
}
