package cmd

import (
	"bytes"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// cpuSeconds returns the processor time of the process so far.
func cpuSeconds() (float64, bool) {
	var u unix.Rusage
	if unix.Getrusage(unix.RUSAGE_SELF, &u) != nil {
		return 0, false
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()).Seconds(), true
}

// residentBytes returns the resident memory, where /proc/self/statm (proc(5)) says it.
func residentBytes() (int64, bool) {
	b, err := os.ReadFile("/proc/self/statm")
	if f := bytes.Fields(b); err == nil && len(f) > 1 {
		n, err := strconv.ParseInt(string(f[1]), 10, 64)
		return n * int64(os.Getpagesize()), err == nil
	}
	return 0, false
}

// openLimit returns how many descriptors the process may have.
func openLimit() (uint64, bool) {
	var lim unix.Rlimit
	err := unix.Getrlimit(unix.RLIMIT_NOFILE, &lim)
	return uint64(lim.Cur), err == nil
}
