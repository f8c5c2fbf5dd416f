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
	for i, f := range []struct{ call, fault, refused string }{
		{"splice", "error=EINVAL:when=2+3", ""},
		{"splice", "error=EPERM:when=3+4", ""},
		{"splice", "error=EIO:when=5+7", ""},
		{"splice", "error=EINTR:when=1+2", ""},
		{"splice", "error=EAGAIN:when=2+2", ""},
		{"splice", "error=EAGAIN:when=4+", ""},
		{"splice", "retval=0:when=2+3", ""},
		{"sendfile", "error=EINVAL:when=2+2", ""},
		{"sendfile", "error=EINTR:when=1+2", ""},
		{"sendfile", "error=EAGAIN:when=2+", ""},
		{"sendfile", "retval=0:when=2+2", ""},
		{"copy_file_range", "error=EIO:when=1+2", ""},
		{"copy_file_range", "error=EINTR:when=1+2", ""},
		{"copy_file_range", "retval=0:when=2+2", ""},
		{"recvfrom", "error=EINTR:when=1+2", rw},
		{"recvfrom", "error=EAGAIN:when=1+2", rw},
		{"sendmsg", "error=EINTR:when=1+2", rw},
		{"sendmsg", "error=EAGAIN:when=1+2", rw},
		{"ppoll", "error=EINTR:when=1+2", ""},
		{"pipe2", "error=EMFILE:when=2+2", ""},
	} {
		if racing && i%4 != 0 { // these processes have hardly anything to race with
			continue
		}
		t.Run(f.call+" "+f.fault, func(t *testing.T) {
			env := []string{injectEnv + "=" + f.call}
			if f.refused != "" {
				env = append(env, refuseEnv+"="+f.refused)
			}
			rerun(t, env, "^TestPairs$", strace, "-f", "--seccomp-bpf", "-qq", "-o", "/dev/null",
				"-e", "trace="+f.call, "-e", "inject="+f.call+":"+f.fault)
		})
	}
}
