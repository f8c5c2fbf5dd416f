package program

import (
	"fmt"
	"os"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// RefuseVariable makes the kernel refuse system calls to the command: "ENOSYS" for all
// of its own paths, or "EPERM:splice,sendfile". It is no name of a flag's variable.
const RefuseVariable = "ZCP_TEST_REFUSE"

var refusable = map[string]uint32{
	"splice": unix.SYS_SPLICE, "sendfile": unix.SYS_SENDFILE, "copy_file_range": unix.SYS_COPY_FILE_RANGE, "pipe2": unix.SYS_PIPE2,
}

// refuseByEnvironment installs a seccomp filter, as a container's profile would, before
// the first byte moves: old kernels say ENOSYS, profiles EPERM.
func refuseByEnvironment() error {
	text := os.Getenv(RefuseVariable)
	if text == "" {
		return nil
	}
	name, calls, _ := strings.Cut(text, ":")
	if calls == "" {
		calls = "splice,sendfile,copy_file_range"
	}
	errno, ok := map[string]unix.Errno{"ENOSYS": unix.ENOSYS, "EPERM": unix.EPERM, "EINVAL": unix.EINVAL, "EMFILE": unix.EMFILE}[name]
	if !ok {
		return fmt.Errorf("%s=%s: unknown error", RefuseVariable, text)
	}
	// The filter sees struct seccomp_data, whose first word is the number of the call.
	filter := []unix.SockFilter{{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS}}
	for _, call := range strings.Split(calls, ",") {
		number, ok := refusable[call]
		if !ok {
			return fmt.Errorf("%s=%s: unknown system call", RefuseVariable, text)
		}
		filter = append(filter,
			unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jf: 1, K: number},
			unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ERRNO | uint32(errno)})
	}
	filter = append(filter, unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW})
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	// The runtime has threads already, and every one of them must obey.
	_, _, e := unix.RawSyscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC, uintptr(unsafe.Pointer(&program)))
	if e != 0 {
		return fmt.Errorf("seccomp: %w", e)
	}
	return nil
}
