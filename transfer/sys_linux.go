package transfer

import (
	"time"

	"golang.org/x/sys/unix"
)

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

// A lowWater makes the kernel wake a file-writing receiver for large steps only.
// Many small writes make small folios in the page cache: at 1 MiB a step a third of
// the processor time of 64 KiB steps is spent (measured: 1.9 GB/s against 0.6). It is only
// a matter of poll(2), which then says ready at the mark, at the end, or on an error.
type lowWater struct {
	fd   int // -1: not used
	set  bool
	slow bool // the sender pauses: every byte is taken as it comes
}

// lowWaterMark is the bytes that a wait is for: 2.9 GB/s and 0.53 s of processor time a GB for both
// ends, 1.9 and 0.75 without, 2.4 and 0.59 at 256 KiB, 3.0 and 0.50 at 2 MiB, which a small
// tcp_rmem does not hold (BenchmarkLowWaterMark, 2 shared cores, loopback).
var lowWaterMark = 1 << 20

// lowWaterPatience is how long a wait for lowWaterMark bytes may take.
const lowWaterPatience = 5 * time.Millisecond

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
func (l *lowWater) wait(Want) bool {
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

// allocatesDelayed tells whether a file lies on ext4.
func allocatesDelayed(fd int) bool { return fileSystem(fd) == unix.EXT4_SUPER_MAGIC }

// allocate has n bytes from off on allocated, and leaves the file's size.
func allocate(fd int, off, n int64) error {
	return unix.Fallocate(fd, unix.FALLOC_FL_KEEP_SIZE, off, n)
}

// writeOut has everything of a file begun to be written to its disk, and waits for nothing.
func writeOut(fd int) {
	_ = unix.SyncFileRange(fd, 0, 0, unix.SYNC_FILE_RANGE_WRITE) // a caller that needs the error uses fsync
}

// pipeUnread returns how many bytes are in a pipe (FIONREAD in pipe(7)); either end may be asked.
func pipeUnread(fd int) int64 {
	n, _ := unix.IoctlGetInt(fd, unix.TIOCINQ) // 0 where it is refused
	return int64(n)
}
