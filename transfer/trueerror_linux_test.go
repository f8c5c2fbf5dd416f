package transfer_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/zcp-go/zcp/transfer"
	"github.com/zcp-go/zcp/transfer/internal/bed"
)

// threePipes is more than three fillings of the default pipe.
const threePipes = 3<<20 + 11

const moveEnv = "TRANSFER_TEST_MOVE" // SRC:DST:SIDE:ERRNO:WHAT, for a process of its own

// TestTrueErrors fails reads and writes of files, alone and after refusals of the
// kernel's paths: the error is that of the side that failed, what it says was
// delivered is in the destination, and the rest is counted.
func TestTrueErrors(t *testing.T) {
	if refusing.again() || os.Getenv(moveEnv) != "" {
		t.Skip("this is what it starts")
	}
	strace, err := exec.LookPath("strace")
	if err != nil {
		bed.SkipLoudly(t, "no strace")
	}
	const all = "splice=EPERM,sendfile=EPERM,copy_file_range=EPERM"
	for _, c := range []struct {
		name, side, errno, refused string
		faults                     []string
		dstOnly                    bool // calls on the destination fail, others do not
	}{
		{"destination full", "destination", "ENOSPC", all, []string{"write:error=ENOSPC:when=3..99"}, false},
		{"destination broken", "destination", "EIO", all, []string{"write:error=EIO:when=1..99"}, false},
		{"source broken", "source", "EIO", all, []string{"read:error=EIO:when=3"}, false},
		{"second hop full", "destination", "ENOSPC", "copy_file_range=EPERM", []string{"splice:error=ENOSPC:when=4+", "write:error=ENOSPC:when=1..99"}, false},
		{"first hop broken", "source", "EIO", "copy_file_range=EPERM", []string{"splice:error=EIO:when=5+", "read:error=EIO:when=1"}, false},
		{"copy full", "destination", "ENOSPC", "", []string{"copy_file_range:error=ENOSPC:when=2+", "splice:error=ENOSPC:when=2+2", "write:error=ENOSPC:when=1..99"}, false},
		{"second hop refused, source broken later", "source", "EIO", "copy_file_range=EPERM", []string{"splice:error=EINVAL:when=4+", "read:error=EIO:when=3"}, false},
		{"second hop not now, for ever", "", "", "copy_file_range=EPERM", []string{"splice:error=EAGAIN:when=2+"}, true},
		{"socket not now, for ever", "", "", "", []string{"sendfile:error=EAGAIN:when=2+"}, false},
		{"interrupted", "", "", all, []string{"write:error=EINTR:when=1+2", "read:error=EINTR:when=1+2"}, false},
		{"not now", "", "", all, []string{"write:error=EAGAIN:when=2..40+2", "read:error=EAGAIN:when=1+2"}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			src, dst := filepath.Join(dir, "src"), filepath.Join(dir, "dst")
			if err := os.WriteFile(src, bed.Noise(threePipes, 9), 0o644); err != nil {
				t.Fatal(err)
			}
			env := []string{moveEnv + "=" + strings.Join([]string{src, dst, c.side, c.errno, strings.Fields(c.name)[0]}, ":")}
			if c.refused != "" {
				env = append(env, refuseEnv+"="+c.refused)
			}
			trace := []string{strace, "-f", "--seccomp-bpf", "-qq", "-o", "/dev/null"}
			if !c.dstOnly {
				trace = append(trace, "-P", src)
			}
			trace = append(trace, "-P", dst, "-e", "trace=read,write,splice,sendfile,copy_file_range") // the runtime reads and writes, too
			for _, f := range c.faults {
				trace = append(trace, "-e", "inject="+f)
			}
			rerun(t, env, "^TestMoveOnce$", trace...)
			var n, held, at int64
			said := bed.Must(os.ReadFile(dst + ".said"))(t)
			bed.Must(fmt.Sscan(string(said), &n, &held, &at))(t)
			data, got := bed.Must(os.ReadFile(src))(t), bed.Must(os.ReadFile(dst))(t)
			if n != int64(len(got)) || !bytes.Equal(got, data[:min(len(got), len(data))]) {
				t.Errorf("%d bytes are said to be delivered, %d are there", n, len(got))
			}
			if at != n+held || c.side != "destination" && held != 0 || c.side == "" && n != threePipes {
				t.Errorf("%d bytes taken, %d delivered and %d lost", at, n, held)
			}
		})
	}
}

// TestMoveOnce is what TestTrueErrors runs under the tracer. The thread is kept because
// the tracer counts the calls of each thread by itself.
func TestMoveOnce(t *testing.T) {
	words := strings.Split(os.Getenv(moveEnv), ":")
	if len(words) != 5 {
		t.Skip("only for TestTrueErrors")
	}
	from := openFor(t, words[0], unix.O_RDONLY)
	to := openFor(t, words[1], unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL)
	if words[4] == "socket" {
		file := os.NewFile(uintptr(bed.Must(unix.Dup(to.FD()))(t)), words[1])
		defer file.Close()
		socket, r, _ := farSink(newUnix)(t)
		to = socket
		copied := make(chan error, 1)
		defer func() {
			socket.Close()
			bed.MustDo(t, <-copied)
		}()
		go func() {
			_, err := io.Copy(file, r)
			copied <- err
		}()
	}
	ctx := bedContext(t)
	runtime.LockOSThread()
	var tr transfer.Transfer
	n, err := tr.Move(ctx, to, from, -1)
	runtime.UnlockOSThread()
	var e *transfer.Error
	switch {
	case words[2] == "" && err != nil:
		t.Error(err)
	case words[2] != "" && (!errors.As(err, &e) || e.Side.String() != words[2] || e.Err != errnos[words[3]]):
		t.Errorf("error %v, want %s of the %s", err, words[3], words[2])
	}
	at := bed.Must(unix.Seek(from.FD(), 0, io.SeekCurrent))(t)
	said := fmt.Sprintln(n, tr.Stats.Lost.Load(), at)
	if err := os.WriteFile(words[1]+".said", []byte(said), 0o644); err != nil {
		t.Error(err)
	}
}
