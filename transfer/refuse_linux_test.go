package transfer_test

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/zcp-go/zcp/transfer"
	"github.com/zcp-go/zcp/transfer/internal/bed"
)

// The environment of a test binary that runs again with system calls refused: by a
// filter from its beginning (call=ERRNO,...), or by a tracer now and then.
const (
	refuseEnv = "TRANSFER_TEST_REFUSE"
	injectEnv = "TRANSFER_TEST_INJECT"
)

// refusals is what is refused to this process, by the name of the call.
type refusals struct {
	always map[string]unix.Errno
	middle string // the call that a tracer fails from time to time
}

var refusing = refusals{always: map[string]unix.Errno{}, middle: os.Getenv(injectEnv)}

var errnos = map[string]unix.Errno{
	"ENOSYS": unix.ENOSYS, "EPERM": unix.EPERM, "EINVAL": unix.EINVAL, "EMFILE": unix.EMFILE, "EIO": unix.EIO,
	"ENOMEM": unix.ENOMEM, "EAGAIN": unix.EAGAIN, "EINTR": unix.EINTR, "EBUSY": unix.EBUSY, "ENOSPC": unix.ENOSPC,
}

// byCall are the paths that need a call.
var byCall = map[string][]transfer.Path{
	"copy_file_range": {transfer.CopyFileRange},
	"sendfile":        {transfer.Sendfile},
	"splice":          {transfer.Splice, transfer.SplicePipe},
	"pipe2":           {transfer.SplicePipe},
}

func init() {
	env := os.Getenv(refuseEnv)
	if env == "" {
		return
	}
	for rule := range strings.SplitSeq(env, ",") {
		call, name, _ := strings.Cut(rule, "=")
		refusing.always[call] = errnos[name]
	}
	if err := installFilter(refusing.always); err != nil {
		fmt.Fprintln(os.Stderr, "cannot refuse", env, err)
		os.Exit(1)
	}
}

// path tells whether a path is refused from the first byte on.
func (r refusals) path(p transfer.Path) bool { return r.errno(p) != 0 }

// errno returns what a path is refused with, or 0.
func (r refusals) errno(p transfer.Path) unix.Errno {
	for call, errno := range r.always {
		for _, q := range byCall[call] {
			if p == q {
				return errno
			}
		}
	}
	return 0
}

func (r refusals) inMiddle() bool { return r.middle != "" }

// again tells whether this process is one that the tests started.
func (r refusals) again() bool { return len(r.always) > 0 || r.inMiddle() }

// pipeSize returns how large the pipes of a transfer are here.
func (r refusals) pipeSize() int {
	if r.always["F_SETPIPE_SZ"] != 0 {
		return 64 << 10
	}
	return pipeSize
}

// installFilter refuses calls to every thread of the process from now on (seccomp(2)).
func installFilter(calls map[string]unix.Errno) error {
	const (
		load, equal, ret = unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, unix.BPF_RET | unix.BPF_K
		nr, arg1         = 0, 16 + 8 // offsets in struct seccomp_data; the low word of the second argument
	)
	numbers := map[string]uint32{
		"copy_file_range": unix.SYS_COPY_FILE_RANGE, "sendfile": unix.SYS_SENDFILE, "splice": unix.SYS_SPLICE,
		"pipe2": unix.SYS_PIPE2, "F_SETPIPE_SZ": unix.SYS_FCNTL,
	}
	var prog []unix.SockFilter
	for call, errno := range calls {
		prog = append(prog, unix.SockFilter{Code: load, K: nr})
		if call == "F_SETPIPE_SZ" {
			prog = append(prog, unix.SockFilter{Code: equal, Jf: 3, K: numbers[call]},
				unix.SockFilter{Code: load, K: arg1}, unix.SockFilter{Code: equal, Jf: 1, K: unix.F_SETPIPE_SZ})
		} else {
			prog = append(prog, unix.SockFilter{Code: equal, Jf: 1, K: numbers[call]})
		}
		prog = append(prog, unix.SockFilter{Code: ret, K: unix.SECCOMP_RET_ERRNO | uint32(errno)})
	}
	prog = append(prog, unix.SockFilter{Code: ret, K: unix.SECCOMP_RET_ALLOW})
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	fprog := unix.SockFprog{Len: uint16(len(prog)), Filter: &prog[0]}
	_, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC,
		uintptr(unsafe.Pointer(&fprog)))
	if errno != 0 {
		return errno
	}
	return nil
}

// reruns bounds the processes at once: each takes two block devices, of which a container may have no more than eight.
var reruns = make(chan struct{}, 2)

// rerun runs tests of this binary in a process of its own, after the words of prefix.
func rerun(t *testing.T, env []string, tests string, prefix ...string) {
	t.Helper()
	reruns <- struct{}{}
	defer func() { <-reruns }()
	self := bed.Must(os.Executable())(t)
	args := append(prefix, self, "-test.run="+tests, "-test.timeout=120s", "-test.count=1", "-test.failfast")
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Env = append(os.Environ(), env...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("%v: %v\n%s", env, err, out[max(0, len(out)-3000):])
	}
	if strings.Contains(string(out), "no tests to run") {
		t.Errorf("%v: no test is called %s", env, tests)
	}
}

// leftOut tells whether one of a test's processes is not started, unless bed.All is true: those for the race detector
// are few, because they have hardly anything to race with, and what is rare is mostly tried by others of them.
func leftOut(i int, rare bool) bool {
	if racing {
		rare = i%4 != 0
	}
	return rare && !bed.All()
}

// TestRefused moves every pair with the kernel's paths refused from the first byte on. The rare ones are tried where
// all is (see leftOut); the others have each call and each errno.
func TestRefused(t *testing.T) {
	if refusing.again() {
		t.Skip("this is what it starts")
	}
	for i, rules := range []string{
		"splice=ENOSYS", "splice=EINVAL", "sendfile=ENOSYS", "copy_file_range=EPERM",
		"pipe2=EMFILE", "F_SETPIPE_SZ=EPERM", "F_SETPIPE_SZ=EBUSY",
		"splice=ENOSYS,sendfile=EPERM,copy_file_range=EINVAL", "splice=EPERM,sendfile=EPERM,copy_file_range=EPERM,pipe2=EPERM,F_SETPIPE_SZ=EPERM",
	} {
		if leftOut(i, rules == "splice=EINVAL" || rules == "F_SETPIPE_SZ=EPERM") {
			continue
		}
		t.Run(rules, func(t *testing.T) {
			t.Parallel()
			tests := "TestPairs|TestFull|TestDyingSink"
			if strings.Contains(rules, "splice=E") && strings.Contains(rules, "sendfile") && (strings.Contains(rules, "pipe2") || bed.All()) {
				tests += "|TestSlowSource|TestSlowSink|TestDyingSource|TestDiskFillsUp"
			}
			if strings.Contains(rules, "pipe2") { // so that nothing wakes a wait
				tests += "|TestCancelled|TestIdleSource|TestFinishIsCancelled"
			}
			rerun(t, []string{refuseEnv + "=" + rules}, "^("+tests+")$")
		})
	}
}
