package transfer

import (
	"bytes"
	"os"
	"strconv"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

func newPipe(p *[2]int) error { return unix.Pipe2(p[:], unix.O_CLOEXEC|unix.O_NONBLOCK) }

// pollFor is poll(2) with a timeout finer than a millisecond.
func pollFor(fds []unix.PollFd, d time.Duration) (int, error) {
	ts := unix.NsecToTimespec(int64(d))
	return unix.Ppoll(fds, &ts, nil)
}

// growPipe grows a pipe to size bytes, never shrinks it, and returns what it holds
// now. A refusal (EPERM beyond pipe-max-size or the user's budget, EBUSY) leaves it as it was.
func growPipe(fd, size int) int {
	if have := pipeCapacity(fd); have >= size {
		return have
	}
	_, _ = unix.FcntlInt(uintptr(fd), unix.F_SETPIPE_SZ, size)
	return pipeCapacity(fd)
}

func pipeCapacity(fd int) int {
	n, err := unix.FcntlInt(uintptr(fd), unix.F_GETPIPE_SZ, 0)
	if err != nil {
		return 1 << 16 // pipe(7): the default since Linux 2.6.11
	}
	return n
}

// Unacked returns how many bytes of a socket's stream the peer's kernel has not
// acknowledged (TCP) or the peer has not read (Unix), as SIOCOUTQ tells. Our FIN counts
// as one byte in it. It is 0 for everything that is no socket.
func (e *Endpoint) Unacked() (int64, error) {
	if !e.kind.Socket() {
		return 0, nil
	}
	n, err := unix.IoctlGetInt(e.fd, unix.SIOCOUTQ)
	return int64(n), err
}

// A silence tells a dead peer from one that merely does not read. A living peer
// answers every window probe and every retransmission, so that both counts go back to
// 0; the age of the last acknowledgement alone proves nothing (measured; see TCP_INFO in tcp(7)).
type silence struct{ since time.Time }

func (s *silence) gone(fd int, now time.Time) bool {
	info, err := unix.GetsockoptTCPInfo(fd, unix.SOL_TCP, unix.TCP_INFO)
	if err != nil || info.Retransmits == 0 && info.Probes == 0 {
		s.since = time.Time{}
		return false
	}
	heard := now.Add(-time.Duration(info.Last_ack_recv) * time.Millisecond)
	if s.since.IsZero() || heard.After(s.since) {
		s.since = now
	}
	return now.Sub(s.since) >= peerLimit
}

// A lowWater makes the kernel wake a file-writing receiver for large steps only.
// Many small writes make small folios in the page cache: at 1 MiB a step a third of
// the processor time of 64 KiB steps is spent (measured: 1.9 GB/s against 0.6). It is only
// a matter of poll(2), which then says ready at the mark, at the end, or on an error.
type lowWater struct {
	fd   int // -1: not used
	set  bool
	slow bool // the sender pauses: every byte is taken as it comes
}

const (
	lowWaterMark     = 1 << 20
	lowWaterPatience = 5 * time.Millisecond
)

func newLowWater(dst, src *Endpoint) lowWater {
	if src.kind != TCP || dst.kind != File && dst.kind != Block && dst.kind != Char {
		return lowWater{fd: -1}
	}
	return lowWater{fd: src.fd, slow: true}
}

func (l *lowWater) mark(n int) {
	// Refused or not, what poll says stays true; only the size of the steps differs.
	_ = unix.SetsockoptInt(l.fd, unix.SOL_SOCKET, unix.SO_RCVLOWAT, n)
}

// wait is called before a wait for the source and tells whether it is to be a short one.
func (l *lowWater) wait(want) bool {
	if l.fd < 0 {
		return false
	}
	if l.slow { // bytes came since: see whether they keep coming
		l.slow = false
		return false
	}
	if !l.set {
		l.mark(lowWaterMark)
		l.set = true
	}
	return true
}

// waited is told whether the mark was not reached in time.
func (l *lowWater) waited(timeout bool) {
	if timeout {
		l.restore()
		l.slow = true
	}
}

func (l *lowWater) restore() {
	if l.fd >= 0 && l.set {
		l.mark(1)
		l.set = false
	}
}

func getLinger(fd int) (unix.Linger, error) {
	var l unix.Linger
	n := uint32(unsafe.Sizeof(l))
	_, _, e := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(fd), unix.SOL_SOCKET, unix.SO_LINGER,
		uintptr(unsafe.Pointer(&l)), uintptr(unsafe.Pointer(&n)), 0)
	if e != 0 {
		return l, os.NewSyscallError("getsockopt", e)
	}
	return l, nil
}

// setUserTimeout bounds how long sent bytes may stay unacknowledged (TCP_USER_TIMEOUT, tcp(7)).
// It also ends a peer that is alive and merely does not read, so it is only set where the user asked for a limit.
func setUserTimeout(fd int, d time.Duration) error {
	return os.NewSyscallError("setsockopt", unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(d.Milliseconds())))
}

// dissolve ends a TCP connection by connecting to nowhere (AF_UNSPEC, connect(2)), which
// sends a reset however many processes hold the socket.
func dissolve(fd int) {
	var unspec unix.RawSockaddr // family 0
	// A refusal leaves the connection to its other holders; there is nothing else to try.
	_, _, _ = unix.Syscall(unix.SYS_CONNECT, uintptr(fd), uintptr(unsafe.Pointer(&unspec)), unsafe.Sizeof(unspec))
}

// keepAliveFD is keepAlive without a net.Conn.
func keepAliveFD(fd int) error {
	err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1)
	for _, o := range []struct{ name, value int }{
		{unix.TCP_KEEPIDLE, int(keepAlive.Idle / time.Second)},
		{unix.TCP_KEEPINTVL, int(keepAlive.Interval / time.Second)},
		{unix.TCP_KEEPCNT, keepAlive.Count},
	} {
		if err == nil {
			err = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, o.name, o.value)
		}
	}
	return os.NewSyscallError("setsockopt", err)
}

// bindNoPort lets bind(2) choose the address only, and connect(2) the port, so that as
// many connections are possible as there are ports for each target (IP_BIND_ADDRESS_NO_PORT, ip(7)).
func bindNoPort(fd int) {
	_ = unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1) // refused: fewer are possible
}

// lowestGivenOut returns the lowest port that the kernel gives to sockets that connect (ip_local_port_range, ip(7)).
func lowestGivenOut() uint16 {
	b, err := os.ReadFile("/proc/sys/net/ipv4/ip_local_port_range")
	if f := bytes.Fields(b); err == nil && len(f) > 0 {
		if n, err := strconv.ParseUint(string(f[0]), 10, 16); err == nil {
			return uint16(n)
		}
	}
	return 1024
}

// allocatesDelayed tells whether a file lies on ext4.
func allocatesDelayed(fd int) bool {
	var fs unix.Statfs_t
	return unix.Fstatfs(fd, &fs) == nil && fs.Type == unix.EXT4_SUPER_MAGIC
}

// allocate has n bytes from off on allocated, and leaves the file's size.
func allocate(fd int, off, n int64) error {
	return unix.Fallocate(fd, unix.FALLOC_FL_KEEP_SIZE, off, n)
}

// writeOut has everything of a file begun to be written to its disk, and waits for nothing.
func writeOut(fd int) {
	_ = unix.SyncFileRange(fd, 0, 0, unix.SYNC_FILE_RANGE_WRITE) // whoever must know uses fsync
}
