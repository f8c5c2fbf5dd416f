package faults

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/zcp-go/zcp/cmd/e2e/program"
)

// shell runs zcp from a shell, which closes descriptors and sets limits.
func shell(t *testing.T, script string, args ...string) *program.Process {
	return program.Command(t, "/bin/sh", append([]string{"-c", script, program.Path(t)}, args...)...)
}

// A standard descriptor that is closed is an error where it is the source or the destination, as for cat(1),
// and never /dev/null with status 0. Where it is not needed it does no harm.
func TestClosedStandardDescriptors(t *testing.T) {
	dir := t.TempDir()
	content := program.Noise(100_000, 5)
	program.WriteFile(t, dir+"/in", content, 0o600)
	for script, says := range map[string]string{
		`exec "$0" cat "$1/in" >&-`:                "stdout: bad file descriptor",
		`exec "$0" cat -o fd:1 "$1/in" >&-`:        "fd:1: bad file descriptor",
		`exec "$0" cat -o /dev/stdout "$1/in" >&-`: "/dev/stdout: bad file descriptor",
		`exec "$0" cat <&-`:                        "stdin: bad file descriptor",
		`exec "$0" cat fd:0 <&-`:                   "fd:0: bad file descriptor",
		`exec "$0" completion bash >&-`:            "standard output: bad file descriptor",
		`exec "$0" recv :0 >&-`:                    "stdout: bad file descriptor",
		`exec "$0" send - 127.0.0.1:9 <&-`:         "stdin: bad file descriptor",
		`exec "$0" relay :0 - >&-`:                 "standard output: bad file descriptor",
		`exec "$0" relay :0 - <&-`:                 "standard input: bad file descriptor",
	} {
		t.Run(script, func(t *testing.T) {
			t.Parallel()
			p := shell(t, script, dir).Run(1)
			said := p.ErrOut.String()
			if strings.Contains(said, "listening") || !strings.Contains(said, says) {
				t.Errorf("said %q, want %q", said, says)
			}
		})
	}
	shell(t, `exec "$0" cat "$1/in" -o "$1/out" <&- >&- 2>&-`, dir).Run(0)
	program.Holds(t, dir+"/out", content)
	shell(t, `exec "$0" cat "$1/none" -o "$1/none2" <&- >&- 2>&-`, dir).Run(1)
	program.Holds(t, dir+"/none2", nil)
}

// /dev/null that was given, also one for reading and writing, is the reader's wish.
func TestNullAsStandardDescriptors(t *testing.T) {
	in := program.Source(t, "hello")
	shell(t, `exec "$0" cat "$1" <>/dev/null 1<>/dev/null`, in).Run(0)
	shell(t, `"$0" cat </dev/null | cmp - /dev/null`).Run(0)
}

// Sixteen threads are enough for a transfer, as the manual says: in each of five rounds, of which two are tried unless
// all are wanted ([program.All]).
func TestFewThreads(t *testing.T) {
	program.NeedRoot(t)
	program.NeedTool(t, "setpriv", "prlimit")
	dir, content := t.TempDir(), program.Noise(3_000_000, 7)
	program.WriteFile(t, dir+"/in", content, 0o600)
	limited := func(args ...string) *program.Process {
		return shell(t, `GOMAXPROCS=4 exec prlimit --nproc=16 setpriv --reuid 64123 --clear-groups "$0" "$@" < `+dir+"/in", args...)
	}
	rounds := 5
	if !program.All() {
		rounds = 2
	}
	for range rounds {
		limited("cat").Run(0)
		r := program.Zcp(t, "recv", ":0", dir+"/out").Start()
		limited("send", "--json", "--hash", "sha256", "-", "127.0.0.1:"+r.Port()).Run(0)
		r.Ends(0)
	}
	program.Holds(t, dir+"/out", content)
}

// static returns the program as it is released, built once: where cgo is part of it, the C library makes the threads.
func static(t *testing.T) (path string) {
	t.Helper()
	program.NeedTool(t, "go")
	path = program.Path(t) + "-static" // in a folder that goes with the last test
	buildStatic.Do(func() { buildError = program.Build(t.Context(), path) })
	if buildError != nil {
		t.Fatal(buildError)
	}
	return path
}

var (
	buildStatic sync.Once
	buildError  error
)

// With too few threads, by RLIMIT_NPROC, and with too little memory, by RLIMIT_AS, each command works or says so in one
// line and ends with 1, without a trace of the runtime. Unless all are wanted ([program.All]), each number of threads
// is tried with one command.
func TestTooLittleForTheRuntime(t *testing.T) {
	program.NeedRoot(t)
	program.NeedTool(t, "setpriv", "prlimit")
	const in = "/etc/passwd" // any user may read it
	zcp, peer := static(t), program.Target(t, "tcp", answerX)
	uid := 64200 // of each process one of its own: the limit counts all of a user
	for threads := range 12 {
		limit, says := fmt.Sprintf("--nproc=%d", threads), "zcp: too few threads are allowed (ulimit -u, pids.max)\n"
		if threads == 0 {
			limit, says = "--as=52428800", "zcp: too little memory is allowed (ulimit -v)\n"
		}
		enough := threads > 1
		for k, args := range [][]string{{"cat", "-q", in}, {"send", "-q", in, peer}, {"recv", "-l", "-w", "1", "127.0.0.1:0"},
			{"send", "-k", "-l", in, "127.0.0.1:0"}, {"relay", "127.0.0.1:0", peer}} {
			if uid++; !program.All() && threads > 0 && k != threads%5 {
				continue
			}
			as := fmt.Sprint(uid)
			t.Run(limit+" "+args[0]+args[1], func(t *testing.T) {
				t.Parallel()
				p := program.Command(t, "prlimit", append([]string{limit, "setpriv", "--reuid", as, "--clear-groups", zcp}, args...)...).Start()
				if (args[0] == "relay" || args[1] == "-k") && p.Says(`zcp: (\S+) `)[1] == "listening" {
					_ = p.Process.Signal(unix.SIGTERM) // it may have no room for that
				}
				status, said := p.End(), p.ErrOut.String()
				if status == 1 && strings.HasSuffix(said, says) || status != 1 && status != 2 && enough && !strings.Contains(said, "goroutine") {
					return
				}
				t.Errorf("ended with %d: %s", status, said)
			})
		}
	}
}

// Without /proc, /sys and /dev every command works as ever.
func TestWithoutProc(t *testing.T) {
	program.NeedRoot(t)
	program.NeedTool(t, "mount")
	content := program.Noise(3_000_000, 8)
	dir := t.TempDir()
	program.WriteFile(t, dir+"/in", content, 0o600)
	bare := func(args ...string) *program.Process {
		p := shell(t, `mount --make-rprivate / && mount -t tmpfs none /proc && mount -t tmpfs none /sys && mount -t tmpfs none /dev && exec "$0" "$@"`, args...)
		p.SysProcAttr.Unshareflags = unix.CLONE_NEWNS
		return p
	}
	in, err := os.Open(dir + "/in")
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	bare("cat", "-", "-o", dir+"/copy").From(in).Run(0)
	program.Holds(t, dir+"/copy", content)
	r := bare("recv", "-l", "127.0.0.1:0", dir+"/out").Start()
	y := bare("relay", "127.0.0.1:0", "127.0.0.1:"+r.Port()).Start()
	bare("send", dir+"/in", "127.0.0.1:"+y.Port()).Run(0)
	r.Ends(0)
	program.Holds(t, dir+"/out", content)
	y.Signal(unix.SIGTERM)
	y.Ends(0)
}

// A descriptor that other programs read as well stands behind what was passed on, also after a signal; where it
// has no place to go back to, what is lost is said.
func TestSharedInputAfterSignal(t *testing.T) {
	content := program.Noise(3_000_000, 9)
	name := t.TempDir() + "/in"
	program.WriteFile(t, name, content, 0o600)
	for _, options := range [][]string{nil, {"-C"}, {"--hash", "sha256"}} {
		in, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		defer in.Close()
		r, w := program.Pipe(t)
		p := program.Zcp(t, append([]string{"cat", "-q"}, options...)...).From(in)
		p.Stdout = w
		p.Start()
		program.Asleep(t, p.Process.Pid)
		p.Signal(unix.SIGTERM)
		p.Ends(143)
		w.Close()
		got, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		at, err := in.Seek(0, io.SeekCurrent)
		if err != nil || at != int64(len(got)) || !bytes.Equal(got, content[:len(got)]) {
			t.Errorf("%v: %d bytes were passed on, and the offset is %d, %v", options, len(got), at, err)
		}
	}
	full, fullEnd := fullPipe(t)
	src, srcEnd := program.Pipe(t)
	program.Write(t, srcEnd, content[:50_000])
	p := program.Zcp(t, "cat", "-C").From(src)
	p.Stdout = fullEnd
	p.Start()
	program.Asleep(t, p.Process.Pid)
	p.Signal(unix.SIGTERM)
	p.Ends(143)
	p.Says(`zcp: .*terminated after 0B; 48\.8KiB more were read from it and are lost\n`)
	full.Close()
}

// With few descriptors each command works, or says in a line what is wrong and ends with 1: never a
// trace of the runtime, and not status 2. Unless all are wanted ([program.All]), each number is tried with one or two
// commands.
func TestFewDescriptors(t *testing.T) {
	dir := t.TempDir()
	program.WriteFile(t, dir+"/in", program.Noise(100_000, 6), 0o600)
	peer := program.Target(t, "tcp", answerX)
	for n := 3; n < 16; n++ {
		for k, args := range [][]string{{"cat", "-q", dir + "/in"}, {"send", dir + "/in", peer}, {"recv", "-l", "-w", "1", "127.0.0.1:0", dir + "/out"},
			{"send", "-k", "-l", dir + "/in", "127.0.0.1:0"}, {"relay", "127.0.0.1:0", peer}} {
			if !program.All() && (n+k)%3 != 0 {
				continue
			}
			t.Run(fmt.Sprintf("%s %d", args[0], n), func(t *testing.T) {
				t.Parallel()
				p := shell(t, fmt.Sprintf(`ulimit -n %d; exec "$0" "$@"`, n), args...)
				p.Start()
				if args[0] == "relay" || args[1] == "-k" {
					p.Says("zcp: ") // it listens, or why not
					_ = p.Process.Signal(unix.SIGTERM)
				}
				status, said := p.End(), p.ErrOut.String()
				if strings.Contains(said, "goroutine") || strings.Contains(said, "runtime:") || status == 2 || status == 0 && said == "" && args[1] != "-q" {
					t.Errorf("ended with %d: %s", status, said)
				}
			})
		}
	}
	if out, err := exec.Command("/bin/sh", "-c", `ulimit -n 4; exec "$0" cat "$1"`, program.Path(t), dir+"/in").CombinedOutput(); err == nil ||
		string(out) != "zcp: too few open files are allowed (ulimit -n)\n" {
		t.Errorf("%v, %q", err, out)
	}
}
