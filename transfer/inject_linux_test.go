package transfer_test

import (
	"os/exec"
	"testing"

	"github.com/zcp-go/zcp/transfer/internal/bed"
)

// TestRefusedInTheMiddle moves every pair while a tracer fails a call from time to time:
// in the middle of a transfer, with bytes on their way. No byte may be lost or doubled,
// and no error reported that a path only was refused with.
func TestRefusedInTheMiddle(t *testing.T) {
	if refusing.again() {
		t.Skip("this is what it starts")
	}
	strace, err := exec.LookPath("strace")
	if err != nil {
		bed.SkipLoudly(t, "no strace")
	}
	if out, err := exec.Command(strace, "-o", "/dev/null", "true").CombinedOutput(); err != nil {
		bed.SkipLoudly(t, "strace may not trace: "+string(out))
	}
	const rw = "splice=ENOSYS,sendfile=ENOSYS,copy_file_range=ENOSYS" // recvfrom and sendmsg are only called then
	for i, f := range []struct {
		call, fault, refused string
		rare                 bool // see leftOut: the others have each call, each errno and a count of 0
	}{
		{"splice", "error=EINVAL:when=2+3", "", true},
		{"splice", "error=EPERM:when=3+4", "", false},
		{"splice", "error=EIO:when=5+7", "", false},
		{"splice", "error=EINTR:when=1+2", "", true},
		{"splice", "error=EAGAIN:when=2+2", "", true},
		{"splice", "error=EAGAIN:when=4+", "", false},
		{"splice", "retval=0:when=2+3", "", false},
		{"sendfile", "error=EINVAL:when=2+2", "", false},
		{"sendfile", "error=EINTR:when=1+2", "", true},
		{"sendfile", "error=EAGAIN:when=2+", "", true},
		{"sendfile", "retval=0:when=2+2", "", false},
		{"copy_file_range", "error=EIO:when=1+2", "", true},
		{"copy_file_range", "error=EINTR:when=1+2", "", false},
		{"copy_file_range", "retval=0:when=2+2", "", true},
		{"recvfrom", "error=EINTR:when=1+2", rw, false},
		{"recvfrom", "error=EAGAIN:when=1+2", rw, true},
		{"sendmsg", "error=EINTR:when=1+2", rw, true},
		{"sendmsg", "error=EAGAIN:when=1+2", rw, false},
		{"ppoll", "error=EINTR:when=1+2", "", false},
		{"pipe2", "error=EMFILE:when=2+2", "", false},
	} {
		if leftOut(i, f.rare) {
			continue
		}
		t.Run(f.call+" "+f.fault, func(t *testing.T) {
			t.Parallel()
			env := []string{injectEnv + "=" + f.call}
			if f.refused != "" {
				env = append(env, refuseEnv+"="+f.refused)
			}
			rerun(t, env, "^TestPairs$", strace, "-f", "--seccomp-bpf", "-qq", "-o", "/dev/null",
				"-e", "trace="+f.call, "-e", "inject="+f.call+":"+f.fault)
		})
	}
}
