package atstart

import (
	"syscall"
	"unsafe"
)

// The runtime writes its messages by this variable where it is set; golang.zx2c4.com/wireguard/windows sets it
// as well, and so the runtime keeps it (runtime/time_nofake.go, golang/go#67401). It has its value before the first
// line of Go runs, because the linker takes the definition that has one.
//
//go:linkname overrideWrite runtime.overrideWrite
var overrideWrite func(fd uintptr, p unsafe.Pointer, n int32) int32 = write

// What is said instead of a trace where the system gives the runtime no thread (clone(2): EAGAIN, by
// RLIMIT_NPROC or pids.max) or no memory (mmap(2): ENOMEM, by RLIMIT_AS). Nothing can be made up for by then: the
// runtime has tried for a fifth of a second, and no other thread can be told to end.
const (
	noThread = "zcp: too few threads are allowed (ulimit -u, pids.max)\n"
	noMemory = "zcp: too little memory is allowed (ulimit -v)\n"
)

// held is whether the runtime has begun to say what it dies of, which is not written before its reason is known.
var held bool

const dying = "fatal error: "

// write writes what the runtime has to say, but for what the user's limits are the cause of: that is one line
// and status 1, without a trace, which is for faults of the program. It runs on any stack and without a
// goroutine, so it neither grows a stack nor allocates.
//
//go:nosplit
//go:norace
func write(fd uintptr, p unsafe.Pointer, n int32) int32 {
	if fd == 2 {
		s := unsafe.String((*byte)(p), n)
		switch {
		case begins(s, "runtime: failed to create new OS thread"), begins(s, "runtime: failed to allocate stack for the new OS thread"):
			die(noThread)
		case begins(s, "runtime: out of memory"), begins(s, "runtime: cannot allocate memory"), held && tellsOfMemory(s):
			die(noMemory)
		case s == dying:
			held = true
			return n
		case held:
			held = false
			put(dying)
		}
	}
	w, _, errno := syscall.RawSyscall(syscall.SYS_WRITE, fd, uintptr(p), uintptr(n))
	if errno != 0 {
		return -int32(errno)
	}
	return int32(w)
}

//go:nosplit
//go:norace
func begins(s, with string) bool { return len(s) >= len(with) && s[:len(with)] == with }

// tellsOfMemory tells whether a reason of the runtime to end is that it gets no memory: "out of memory",
// "failed to reserve page summary memory", "cannot allocate heap metadata" and the like (runtime/malloc.go).
//
//go:nosplit
//go:norace
func tellsOfMemory(s string) bool {
	if begins(s, "cannot allocate") || begins(s, "failed to reserve") || begins(s, "failed to allocate") {
		return true
	}
	for i := range s {
		if begins(s[i:], "out of memory") || begins(s[i:], "cannot allocate memory") {
			return true
		}
	}
	return false
}

// die ends the process at once: its sockets are armed, so its peers see a reset.
//
//go:nosplit
//go:norace
func die(said string) {
	put(said)
	_, _, _ = syscall.RawSyscall(syscall.SYS_EXIT_GROUP, 1, 0, 0)
}

//go:nosplit
//go:norace
func put(s string) {
	_, _, _ = syscall.RawSyscall(syscall.SYS_WRITE, 2, uintptr(unsafe.Pointer(unsafe.StringData(s))), uintptr(len(s)))
}
