package program

import (
	"fmt"
	"os"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// RefuseVariable makes the kernel refuse system calls to the command: "ENOSYS" for all
// of its own paths, or "EPERM:splice,sendfile". Its name is not that of a variable of zcp's.
const RefuseVariable = "REFUSE_TO_ZCP"

// A refusal is a system call, all of it or with these values of its second and third argument, which
// name what is asked of a socket; of socket(2) the first.
type refusal struct {
	call uint32
	args []uint32
}

var refusable = map[string]refusal{
	"splice": {call: unix.SYS_SPLICE}, "sendfile": {call: unix.SYS_SENDFILE}, "copy_file_range": {call: unix.SYS_COPY_FILE_RANGE},
	"pipe2": {call: unix.SYS_PIPE2}, "tee": {call: unix.SYS_TEE},

	"inotify_init1": {call: unix.SYS_INOTIFY_INIT1}, "fallocate": {call: unix.SYS_FALLOCATE}, "statx": {call: unix.SYS_STATX},
	"fstatfs": {call: unix.SYS_FSTATFS}, "prlimit64": {call: unix.SYS_PRLIMIT64}, "flock": {call: unix.SYS_FLOCK},
	"fchmod": {call: unix.SYS_FCHMOD}, "fchown": {call: unix.SYS_FCHOWN}, "pwritev2": {call: unix.SYS_PWRITEV2},
	"F_SETLEASE":   {unix.SYS_FCNTL, []uint32{unix.F_SETLEASE}},
	"F_GETLEASE":   {unix.SYS_FCNTL, []uint32{unix.F_GETLEASE}},
	"F_SETPIPE_SZ": {unix.SYS_FCNTL, []uint32{unix.F_SETPIPE_SZ}},
	"F_GETPIPE_SZ": {unix.SYS_FCNTL, []uint32{unix.F_GETPIPE_SZ}},
	"F_GET_SEALS":  {unix.SYS_FCNTL, []uint32{unix.F_GET_SEALS}},
	"FIONREAD":     {unix.SYS_IOCTL, []uint32{unix.TIOCINQ}},
	"getxattr":     {call: unix.SYS_GETXATTR},
	"AF_INET6":     {unix.SYS_SOCKET, []uint32{unix.AF_INET6}},

	"SIOCOUTQ":      {unix.SYS_IOCTL, []uint32{unix.SIOCOUTQ}},
	"TCP_INFO":      {unix.SYS_GETSOCKOPT, []uint32{unix.SOL_TCP, unix.TCP_INFO}},
	"SO_LINGER":     {unix.SYS_SETSOCKOPT, []uint32{unix.SOL_SOCKET, unix.SO_LINGER}},
	"SO_KEEPALIVE":  {unix.SYS_SETSOCKOPT, []uint32{unix.SOL_SOCKET, unix.SO_KEEPALIVE}},
	"TCP_KEEPIDLE":  {unix.SYS_SETSOCKOPT, []uint32{unix.SOL_TCP, unix.TCP_KEEPIDLE}},
	"TCP_KEEPINTVL": {unix.SYS_SETSOCKOPT, []uint32{unix.SOL_TCP, unix.TCP_KEEPINTVL}},
	"TCP_KEEPCNT":   {unix.SYS_SETSOCKOPT, []uint32{unix.SOL_TCP, unix.TCP_KEEPCNT}},
	"TCP_NODELAY":   {unix.SYS_SETSOCKOPT, []uint32{unix.SOL_TCP, unix.TCP_NODELAY}},
	"SO_RCVLOWAT":   {unix.SYS_SETSOCKOPT, []uint32{unix.SOL_SOCKET, unix.SO_RCVLOWAT}},
}

// RefusableOfSockets are the names of what only helps a socket.
var RefusableOfSockets = []string{"SIOCOUTQ", "TCP_INFO", "SO_LINGER", "SO_KEEPALIVE", "TCP_KEEPIDLE", "TCP_KEEPINTVL", "TCP_KEEPCNT",
	"TCP_NODELAY", "SO_RCVLOWAT"}

// RefusableOfAll are the names of calls that every command can do without.
var RefusableOfAll = []string{"splice", "sendfile", "copy_file_range", "pipe2", "tee", "inotify_init1", "fallocate", "statx", "fstatfs", "prlimit64",
	"flock", "fchmod", "fchown", "pwritev2", "F_SETLEASE", "F_GETLEASE", "F_SETPIPE_SZ", "F_GETPIPE_SZ", "F_GET_SEALS", "FIONREAD", "getxattr"}

var refusals = map[string]unix.Errno{"ENOSYS": unix.ENOSYS, "EPERM": unix.EPERM, "EINVAL": unix.EINVAL, "EMFILE": unix.EMFILE,
	"ENOPROTOOPT": unix.ENOPROTOOPT, "ENOTTY": unix.ENOTTY, "EOPNOTSUPP": unix.EOPNOTSUPP, "EAFNOSUPPORT": unix.EAFNOSUPPORT}

// filter returns the instructions that refuse it; the number of the call is loaded, and is again behind them.
func (r refusal) filter(errno unix.Errno) []unix.SockFilter {
	const number, args, word = 0, 16, 8 // struct seccomp_data; the low half of an argument comes first
	load := func(at uint32) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: at}
	}
	left := uint8(1 + 2*len(r.args))
	equal := func(v uint32) unix.SockFilter {
		f := unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jf: left, K: v}
		left -= 2
		return f
	}
	fs := []unix.SockFilter{equal(r.call)}
	first := uint32(1)
	if r.call == unix.SYS_SOCKET {
		first = 0
	}
	for i, v := range r.args {
		fs = append(fs, load(args+word*(first+uint32(i))), equal(v))
	}
	return append(fs, unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ERRNO | uint32(errno)}, load(number))
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
	errno, ok := refusals[name]
	if !ok {
		return fmt.Errorf("%s=%s: unknown error", RefuseVariable, text)
	}
	// The filter sees struct seccomp_data, whose first word is the number of the call.
	filter := []unix.SockFilter{{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS}}
	for _, call := range strings.Split(calls, ",") {
		r, ok := refusable[call]
		if !ok {
			return fmt.Errorf("%s=%s: unknown system call", RefuseVariable, text)
		}
		filter = append(filter, r.filter(errno)...)
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
