package pipepool

import (
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// What the kernel refuses it refuses to a whole process, so these tests run in one of their own: the test binary again,
// with the name of the test in the environment.
const childKey = "PIPEPOOL_CHILD"

// inChild tells whether this process is the one in which the test may do its harm. In the parent it starts that process
// and reports how it went.
func inChild(t *testing.T) bool {
	t.Helper()
	if os.Getenv(childKey) == t.Name() {
		return true
	}
	cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.count=1", "-test.v")
	cmd.Env = append(os.Environ(), childKey+"="+t.Name(), "GORACE=atexit_sleep_ms=0")
	out, err := cmd.CombinedOutput()
	switch {
	case strings.Contains(string(out), "--- SKIP: "+t.Name()):
		t.Skipf("%s", out)
	case err != nil || !strings.Contains(string(out), "--- PASS: "+t.Name()):
		t.Errorf("%v\n%s", err, out)
	}
	return false
}

// forbid has the kernel answer one system call with ret, a SECCOMP_RET value, from now on and in all threads; with a
// command, only where that is the second argument.
func forbid(t *testing.T, ret, nr uint32, command ...uint32) {
	t.Helper()
	const number, second = 0, 16 + 8 // offsets in struct seccomp_data; low half of the argument on little-endian
	load := func(k uint32) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: k}
	}
	unless := func(k uint32, skip uint8) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: k, Jf: skip}
	}
	result := func(k uint32) unix.SockFilter { return unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: k} }
	filter := []unix.SockFilter{load(number), unless(nr, 1)}
	if len(command) > 0 {
		filter = []unix.SockFilter{load(number), unless(nr, 3), load(second), unless(command[0], 1)}
	}
	filter = append(filter, result(ret), result(unix.SECCOMP_RET_ALLOW))
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		t.Skipf("SKIPPED, cannot refuse system calls here: %v", err)
	}
	r, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER,
		unix.SECCOMP_FILTER_FLAG_TSYNC, uintptr(unsafe.Pointer(&program)))
	if errno != 0 || r != 0 {
		t.Skipf("SKIPPED, cannot refuse system calls here: %v", errno)
	}
}

// fcntlNumber is what x/sys/unix calls fcntl by: 32-bit systems have fcntl64, 221 on 386 and arm.
func fcntlNumber() uint32 {
	if unsafe.Sizeof(uintptr(0)) == 4 {
		return 221
	}
	return unix.SYS_FCNTL
}

// limitDescriptors leaves the process n descriptors more than it has.
func limitDescriptors(t *testing.T, n int) {
	t.Helper()
	limit := uint64(descriptors(t) + n)
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: limit, Max: limit}); err != nil {
		t.Fatal(err)
	}
}

// takeAll gets pipes until there are no more.
func takeAll(t *testing.T, pl *Pool) (pipes []*Pipe, err error) {
	t.Helper()
	for len(pipes) < 1000 {
		p, err := pl.Get()
		if err != nil {
			return pipes, err
		}
		pipes = append(pipes, p)
	}
	t.Fatal("the kernel refuses nothing")
	return nil, nil
}

func TestNoDescriptorsLeft(t *testing.T) {
	if !inChild(t) {
		return
	}
	var spare [2]int // two descriptors in use elsewhere
	if err := unix.Pipe(spare[:]); err != nil {
		t.Fatal(err)
	}
	limitDescriptors(t, 40)
	synctest.Test(t, func(t *testing.T) {
		var pl Pool
		pipes, err := takeAll(t, &pl)
		if !errors.Is(err, unix.EMFILE) || len(pipes) < 10 {
			t.Fatalf("%d pipes, then %v; want some, then EMFILE", len(pipes), err)
		}
		if s := pl.Stats(); s.Refused != 1 || s.InUse != len(pipes) || s.Smaller != 0 {
			t.Errorf("%+v", s)
		}

		// A pipe put back serves the next borrower at once.
		pl.Put(pipes[0])
		if p := get(t, &pl); p != pipes[0] {
			t.Error("not the one that was put back")
		}
		// So does one that was closed: its descriptors are free.
		pipes[0].Len = 1
		pl.Put(pipes[0])
		pipes[0] = get(t, &pl)

		// Descriptors freed elsewhere are only noticed when the kernel is asked, and that is not at every Get.
		if _, err := pl.Get(); !errors.Is(err, unix.EMFILE) {
			t.Fatalf("%v, want EMFILE", err)
		}
		unix.Close(spare[0])
		unix.Close(spare[1])
		if _, err := pl.Get(); !errors.Is(err, unix.EMFILE) {
			t.Errorf("%v: the kernel was asked again at once", err)
		}
		if s := pl.Stats(); s.Refused != 3 {
			t.Errorf("%d refusals, want 3", s.Refused)
		}
		time.Sleep(denyFor)
		pl.Put(get(t, &pl))
		if pl.denied.Load() != nil {
			t.Error("the refusal is still remembered after a success")
		}
		giveBack(&pl, pipes)
		pl.CloseIdle()
	})
}

func TestNoPipesLeftInTheSystem(t *testing.T) {
	if !inChild(t) {
		return
	}
	forbid(t, unix.SECCOMP_RET_ERRNO|uint32(unix.ENFILE), unix.SYS_PIPE2)
	var pl Pool
	_, err := pl.Get()
	var call *os.SyscallError
	if !errors.Is(err, unix.ENFILE) || !errors.As(err, &call) || call.Syscall != "pipe2" {
		t.Errorf("%v, want pipe2 and ENFILE", err)
	}
	if s := pl.Stats(); s != (Stats{Refused: 1}) {
		t.Errorf("%+v", s)
	}
}

func TestCapacityUnknown(t *testing.T) {
	if !inChild(t) {
		return
	}
	forbid(t, unix.SECCOMP_RET_ERRNO|uint32(unix.EPERM), fcntlNumber(), unix.F_GETPIPE_SZ)
	before := descriptors(t)
	var pl Pool
	if _, err := pl.Get(); !errors.Is(err, unix.EPERM) {
		t.Errorf("%v, want EPERM", err)
	}
	if n := descriptors(t) - before; n != 0 {
		t.Errorf("%d descriptors leaked", n)
	}
}

func TestCapacityRefused(t *testing.T) {
	if !inChild(t) {
		return
	}
	forbid(t, unix.SECCOMP_RET_ERRNO|uint32(unix.EPERM), fcntlNumber(), unix.F_SETPIPE_SZ)
	var pl Pool
	defer pl.CloseIdle()
	p := get(t, &pl)
	if want := 16 * unix.Getpagesize(); p.Cap() != want {
		t.Errorf("Cap %d, want the kernel's own %d", p.Cap(), want)
	}
	if s := pl.Stats(); s.Smaller != 1 || s.Refused != 0 || s.Capacity != int64(p.Cap()) {
		t.Errorf("%+v", s)
	}
	pl.Put(p)
	if q := get(t, &pl); q != p {
		t.Error("a small pipe was not lent again")
	}
	pl.Put(p)
}

// The kernel kills the process if it is asked.
func TestCapacityIsNotAskedForWhereItIsThere(t *testing.T) {
	if !inChild(t) {
		return
	}
	forbid(t, unix.SECCOMP_RET_KILL_PROCESS, fcntlNumber(), unix.F_SETPIPE_SZ)
	pl := Pool{Size: 16 * unix.Getpagesize()}
	for range 3 {
		pl.Put(get(t, &pl))
	}
	pl.CloseIdle()
}

// While pipes are refused, a Local keeps none for itself.
func TestLocalSharesWhenPipesAreRefused(t *testing.T) {
	if !inChild(t) {
		return
	}
	limitDescriptors(t, 40)
	var pl Pool
	one, two := Local{Pool: &pl}, Local{Pool: &pl}
	pipes, err := takeAll(t, &pl)
	if err == nil {
		t.Fatal("no refusal")
	}
	one.Put(pipes[0])
	if p := get(t, &two); p != pipes[0] {
		t.Error("the other loop got another pipe")
	}
	giveBack(&two, pipes)
	if one.Idle() != 0 || two.Idle() != 0 {
		t.Errorf("%d and %d pipes kept back", one.Idle(), two.Idle())
	}
	pl.CloseIdle()
	one.Put(get(t, &one)) // the kernel grants pipes again
	if one.Idle() != 1 {
		t.Error("the Local does not keep its pipe after the dearth")
	}
	one.Close()
	pl.CloseIdle()
}
