package bed

import (
	"fmt"
	"os"
	"runtime"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// SkipLoudly skips a test in a way that is seen without -v.
func SkipLoudly(t testing.TB, why string) {
	t.Helper()
	fmt.Fprintf(os.Stderr, "!!! %s does not run here: %s\n", t.Name(), why)
	t.Skip(why)
}

// WhileNothingMoves returns the processor time that passes in d of doing nothing.
func WhileNothingMoves(t testing.TB, d time.Duration) time.Duration {
	runtime.GC()
	time.Sleep(20 * time.Millisecond) // the collector's own work
	before := ProcessorTime(t)
	time.Sleep(d) // what is measured, not a wait for something
	return ProcessorTime(t) - before
}

// OpenDescriptors counts what this process has open.
func OpenDescriptors(t testing.TB) int {
	t.Helper()
	return len(Must(os.ReadDir("/proc/self/fd"))(t))
}

// Urge sends one urgent byte. Its reader gets it out of band, so that it is not part of the stream.
func Urge(t testing.TB, w syscall.Conn) {
	t.Helper()
	rc := Must(w.SyscallConn())(t)
	var err error
	if cerr := rc.Write(func(fd uintptr) bool {
		_, err = unix.SendmsgN(int(fd), []byte{'!'}, nil, nil, unix.MSG_OOB)
		return err != unix.EAGAIN
	}); cerr != nil || err != nil {
		t.Fatal(cerr, err)
	}
}
