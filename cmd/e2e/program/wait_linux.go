package program

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// AwaitSize waits until a file has n bytes.
func AwaitSize(t testing.TB, name string, n int64) {
	t.Helper()
	WaitFor(t, fmt.Sprintf("%d bytes in %s", n, name), func() bool {
		fi, err := os.Stat(name)
		return err == nil && fi.Size() == n
	})
}

// AwaitQueue waits until the bytes that an ioctl(2) counts in a socket, TIOCINQ or
// TIOCOUTQ, are as many as they should be.
func AwaitQueue(t testing.TB, c *net.TCPConn, ioctl uint, ok func(n int) bool) {
	t.Helper()
	rc, err := c.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	WaitFor(t, "the bytes in a socket", func() (done bool) {
		err := rc.Control(func(fd uintptr) {
			n, err := unix.IoctlGetInt(int(fd), ioctl)
			done = err == nil && ok(n)
		})
		if err != nil {
			t.Fatal(err)
		}
		return done
	})
}

// Asleep waits until every thread of a process sleeps, which is how a wait looks from outside.
func Asleep(t testing.TB, pid int) {
	t.Helper()
	WaitFor(t, fmt.Sprintf("the sleep of %d", pid), func() bool {
		once := AllSleep(pid) // threads are looked at one after the other, and may wake each other
		return once && AllSleep(pid)
	})
}

// AllSleep reports whether every thread of a process sleeps right now.
func AllSleep(pid int) bool {
	stats, _ := filepath.Glob(filepath.Join("/proc", strconv.Itoa(pid), "task", "*", "stat"))
	for _, name := range stats {
		b, err := os.ReadFile(name)
		if err != nil {
			continue // a thread that has ended
		}
		if _, after, ok := strings.Cut(string(b), ") "); ok && after[0] != 'S' {
			return false
		}
	}
	return len(stats) > 0
}

// SpinLimit is the most processor time that a transfer may use while nothing moves.
const SpinLimit = 50 * time.Millisecond

// Stalled waits until a process sleeps and wants it to use next to no processor time
// for half a second from then on.
func Stalled(t testing.TB, pid int) {
	t.Helper()
	Asleep(t, pid)
	before := ProcessorTime(pid)
	time.Sleep(500 * time.Millisecond) // the measurement, not a synchronisation
	if used := ProcessorTime(pid) - before; used > SpinLimit {
		t.Errorf("a stalled transfer used %v of processor time in 500 ms", used)
	}
}

// ProcessorTime returns what all threads of a process have used so far, to the
// nanosecond, and 0 of one that has ended.
func ProcessorTime(pid int) (sum time.Duration) {
	files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
	for _, name := range files {
		var ns int64
		if b, err := os.ReadFile(name); err == nil {
			fmt.Sscan(string(b), &ns)
			sum += time.Duration(ns)
		}
	}
	return sum
}

// GuardTime ends what hangs. Nothing that works waits for it.
const GuardTime = 60 * time.Second

// WaitFor polls once a millisecond, for at most [GuardTime], until something is true of
// which no event tells.
func WaitFor(t testing.TB, what string, come func() bool) {
	t.Helper()
	for start := time.Now(); time.Since(start) < GuardTime; time.Sleep(time.Millisecond) {
		if come() {
			return
		}
	}
	t.Fatalf("waited in vain for %s", what)
}
