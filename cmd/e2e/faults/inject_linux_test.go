package faults

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/zcp-go/zcp/cmd/e2e/program"
)

// An injection makes system calls of zcp fail that would succeed.
type injection struct {
	call, errno string
	when        string // which of the calls: "3", "2+" for all from the second on, "1+2" for every other
}

func (i injection) String() string { return i.call + " " + i.errno + " " + i.when }

// zcp prepares the command under strace, which injects.
func (i injection) zcp(t testing.TB, args ...string) *program.Process {
	t.Helper()
	p := program.Zcp(t, args...)
	p.Args = append([]string{"strace", "-f", "-qq", "--seccomp-bpf", "-o", "/dev/null", "-e", "signal=none",
		"-e", "trace=" + i.call, "-e", fmt.Sprintf("inject=%s:error=%s:when=%s", i.call, i.errno, i.when), p.Path}, p.Args[1:]...)
	var err error
	if p.Path, err = exec.LookPath("strace"); err != nil {
		t.Fatal(err)
	}
	return p
}

// delayed prepares the command under strace, which makes it wait 2 s before each of the calls.
func delayed(t testing.TB, calls string, args ...string) *program.Process {
	t.Helper()
	p := injection{calls, "EIO", "1+"}.zcp(t, args...)
	for i, a := range p.Args {
		if strings.HasPrefix(a, "inject=") {
			p.Args[i] = "inject=" + calls + ":delay_enter=2000000"
		}
	}
	return p
}

// moved runs a cat under an injection.
func moved(p *program.Process, dst string, content []byte) (int, string, bool) {
	p.Start().End()
	got, _ := os.ReadFile(dst) // that it is not there says enough
	return p.Status, p.ErrOut.String(), bytes.Equal(got, content)
}

// works are transfers of content, dir/in, under an injection into one of their ends. Each
// returns how that end ended, what it said, and whether every byte arrived.
var works = map[string]func(t testing.TB, in injection, dir string, content []byte) (status int, said string, whole bool){
	"cat file to file": func(t testing.TB, in injection, dir string, content []byte) (int, string, bool) {
		return moved(in.zcp(t, "cat", dir+"/in", "-o", dir+"/out"), dir+"/out", content)
	},
	"cat file to pipe": func(t testing.TB, in injection, dir string, content []byte) (int, string, bool) {
		p := in.zcp(t, "cat", dir+"/in").Start()
		p.End()
		return p.Status, p.ErrOut.String(), p.Out.String() == string(content)
	},
	"cat pipe to file": func(t testing.TB, in injection, dir string, content []byte) (int, string, bool) {
		return moved(in.zcp(t, "cat", "-o", dir+"/out").From(bytes.NewReader(content)), dir+"/out", content)
	},
	"send file": func(t testing.TB, in injection, dir string, content []byte) (int, string, bool) {
		r := program.Zcp(t, "recv", "-q", ":0", dir+"/out").Start()
		p := in.zcp(t, "send", dir+"/in", "127.0.0.1:"+r.Port())
		return met(t, p.Start(), r, r, dir, content)
	},
	"send file to a Unix socket": func(t testing.TB, in injection, dir string, content []byte) (int, string, bool) {
		r := program.Zcp(t, "recv", "-q", "-l", "unix:"+dir+"/socket", dir+"/out").Start()
		program.WaitFor(t, "the socket", func() bool { _, err := os.Stat(dir + "/socket"); return err == nil })
		return met(t, in.zcp(t, "send", dir+"/in", "unix:"+dir+"/socket").Start(), r, r, dir, content)
	},
	"send pipe": func(t testing.TB, in injection, dir string, content []byte) (int, string, bool) {
		r := program.Zcp(t, "recv", "-q", ":0", dir+"/out").Start()
		p := in.zcp(t, "send", "-", "127.0.0.1:"+r.Port()).From(bytes.NewReader(content))
		return met(t, p.Start(), r, r, dir, content)
	},
	"recv to file": func(t testing.TB, in injection, dir string, content []byte) (int, string, bool) {
		s := program.Zcp(t, "send", "-q", dir+"/in", "-w", "5", ":0").Start()
		p := in.zcp(t, "recv", "--sync", "127.0.0.1:"+s.Port(), dir+"/out")
		return met(t, p.Start(), s, p, dir, content)
	},
	"recv to file, listening": func(t testing.TB, in injection, dir string, content []byte) (int, string, bool) {
		p := in.zcp(t, "recv", "-w", "5", "-l", "127.0.0.1:0", dir+"/out").Start()
		m := p.ErrOut.Await(`listening on \S*:(\d+)`)
		if m == nil { // it has ended before
			p.End()
			return p.Status, p.ErrOut.String(), false
		}
		return met(t, p, program.Zcp(t, "send", "-q", dir+"/in", "127.0.0.1:"+m[1]).Start(), p, dir, content)
	},
	"recv to pipe": func(t testing.TB, in injection, dir string, content []byte) (int, string, bool) {
		s := program.Zcp(t, "send", "-q", dir+"/in", "-w", "5", ":0").Start()
		p := in.zcp(t, "recv", "127.0.0.1:"+s.Port()).Start()
		p.End()
		if s.End() == 0 && p.Status != 0 && in.call != "close" { // a socket that close leaves open is closed by the end
			t.Errorf("recv ended with %d %s and the sender with 0", p.Status, p.ErrOut)
		}
		return p.Status, p.ErrOut.String(), p.Out.String() == string(content)
	},
}

// met ends a pair: p under injection, other at the other end; receiver is one of them.
func met(t testing.TB, p, other, receiver *program.Process, dir string, content []byte) (int, string, bool) {
	t.Helper()
	p.End()
	if p.Status != 0 && strings.Contains(strings.Join(other.Args, " "), "recv") {
		_ = other.Process.Kill() // no peer may ever have connected
	}
	other.End()
	got, err := os.ReadFile(dir + "/out")
	whole := err == nil && bytes.Equal(got, content)
	if err == nil && !whole && string(got) != "old" {
		t.Errorf("DST holds %d bytes that were never sent so", len(got))
	}
	if (receiver.Status == 0 || other.Status == 0) && !whole {
		t.Errorf("the ends are %d and %d without all bytes: %s", p.Status, other.Status, p.ErrOut)
	}
	return p.Status, p.ErrOut.String(), whole
}

// Errors that pass, and refusals of a path at any moment, cost nothing but time: every
// byte arrives and the status is 0.
var harmless = []injection{
	{"splice", "EINTR", "1+2"}, {"splice", "EAGAIN", "2+2"}, {"splice", "EINVAL", "2"}, {"splice", "ENOSYS", "1+"}, {"splice", "EPERM", "3+"},
	{"sendfile", "EINTR", "1+2"}, {"sendfile", "EAGAIN", "2+3"}, {"sendfile", "EINVAL", "2"}, {"sendfile", "ENOSYS", "1+"}, {"sendfile", "EPERM", "3+"},
	{"copy_file_range", "EINTR", "1+2"}, {"copy_file_range", "EXDEV", "1"}, {"copy_file_range", "EIO", "1"}, {"copy_file_range", "EBADF", "2+"}, {"copy_file_range", "ENOSYS", "1+"}, {"copy_file_range", "EOPNOTSUPP", "3"},
	{"recvfrom", "EINTR", "1+2"}, {"recvfrom", "EAGAIN", "1+3"}, {"sendmsg", "EINTR", "1+2"}, {"sendmsg", "EAGAIN", "1+3"},
	{"ppoll", "EINTR", "1+2"}, {"poll", "EINTR", "1+2"}, {"pipe2", "EMFILE", "1+"}, {"pipe2", "ENFILE", "1"},
	{"accept4", "EINTR", "1"}, {"accept4", "ECONNABORTED", "1"}, {"close", "EINTR", "3+2"},
	{"fchown", "EPERM", "1+"}, {"flock", "EINTR", "1"}, {"statx", "ENOSYS", "1+"}, {"fsync", "EINVAL", "1+"},
}

// callers are the works that make a call, as strace shows; one that is not here is made by each of them, or by none.
var callers = map[string][]string{
	"splice":          {"cat pipe to file", "recv to file", "recv to pipe", "send file", "send pipe"},
	"sendfile":        {"send file to a Unix socket"},
	"copy_file_range": {"cat file to file"},
	"recvfrom":        {"send file", "send pipe", "recv to file", "recv to pipe", "send file to a Unix socket"},
	"ppoll":           {"recv to pipe", "send file to a Unix socket"},
	"accept4":         {"recv to file, listening"},
	"fchown":          {"recv to file"}, "flock": {"recv to file"}, "statx": {"recv to file"}, "fsync": {"recv to file"},
}

// TestHarmlessErrors tries each injection with each work, or, unless all are wanted ([program.All]), with one that
// makes the call.
func TestHarmlessErrors(t *testing.T) {
	program.NeedTool(t, "strace")
	content := program.Noise(3_000_000, 30)
	names := slices.Sorted(maps.Keys(works))
	for i, in := range harmless {
		felt := callers[in.call]
		if felt == nil {
			felt = names
		}
		for _, name := range names {
			if !program.All() && name != felt[i%len(felt)] {
				continue
			}
			run := works[name]
			t.Run(in.String()+"/"+name, func(t *testing.T) {
				t.Parallel()
				dir := newWork(t, content)
				if status, said, whole := run(t, in, dir, content); status != 0 || !whole {
					t.Errorf("ended with %d, whole %v: %s", status, whole, said)
				}
			})
		}
	}
}

// What cannot be made up for: status 1, who it was, and what is kept.
var trueErrors = []struct {
	in   injection
	work string
	said string
}{
	{injection{"splice,read", "EIO", "4+"}, "cat pipe to file", `^zcp: stdin: input/output error\n$`},
	{injection{"splice,read,copy_file_range", "EIO", "4+"}, "cat file to pipe", `^zcp: \S+/in: input/output error\n$`},
	{injection{"sendfile,splice,read", "EIO", "4+"}, "send file", `^zcp: \S+/in: input/output error after \S+`},
	{injection{"fsync", "EIO", "1"}, "recv to file", `^zcp: \S+/out: input/output error after 12.0MiB; \S+/out.part holds 12.0MiB\n$`},
	{injection{"fsync", "ENOSPC", "1"}, "recv to file", `^zcp: \S+/out: no space left on device after 12.0MiB; \S+/out.part holds 12.0MiB\n$`},
	{injection{"renameat", "EIO", "1"}, "recv to file", `^zcp: \S+/out: cannot rename \S+/out.part: input/output error after 12.0MiB; \S+/out.part holds 12.0MiB\n$`},
	{injection{"flock", "EIO", "1"}, "recv to file", `^zcp: \S+/out: \S+/out.part: input/output error\n`},
	{injection{"socket", "EMFILE", "1+"}, "send file", `^zcp: 127\S+: too many open files\n$`},
	{injection{"connect", "ENETUNREACH", "1+"}, "recv to file", `^zcp: 127\S+: network is unreachable\n$`},
	{injection{"shutdown", "ENOTCONN", "1+"}, "send file", `^zcp: \S+/in to 127\S+: transport endpoint is not connected after `},
}

func TestTrueErrors(t *testing.T) {
	program.NeedTool(t, "strace")
	content := program.Noise(12<<20, 31)
	for _, tc := range trueErrors {
		t.Run(tc.in.String()+"/"+tc.work, func(t *testing.T) {
			t.Parallel()
			dir := newWork(t, content)
			status, said, _ := works[tc.work](t, tc.in, dir, content)
			if status != 1 || !regexp.MustCompile(tc.said).MatchString(said) {
				t.Errorf("ended with %d and said\n%swant 1 and\n%s", status, said, tc.said)
			}
			if strings.HasPrefix(tc.work, "recv") {
				program.Holds(t, dir+"/out", []byte("old"))
			}
			if tc.in.call == "flock" { // before the first byte
				program.Absent(t, dir+"/out.part")
			}
		})
	}
}

// A file of -o that is new has nothing to truncate, and close(2) on ext4 waits for the disk where that was done.
func TestNewFileNotTruncated(t *testing.T) {
	program.NeedTool(t, "strace")
	dir, content := t.TempDir(), program.Noise(100_000, 33)
	program.WriteFile(t, filepath.Join(dir, "in"), content, 0o644)
	in := injection{"ftruncate", "EIO", "1+"}
	if status, said, whole := works["cat file to file"](t, in, dir, content); status != 0 || !whole {
		t.Errorf("ended with %d, whole %v: %s", status, whole, said)
	}
}

// newWork makes the folder of a work: what is sent, and what it is to replace.
func newWork(t testing.TB, content []byte) string {
	t.Helper()
	dir := t.TempDir()
	program.WriteFile(t, filepath.Join(dir, "in"), content, 0o644)
	program.WriteFile(t, filepath.Join(dir, "out"), []byte("old"), 0o644)
	return dir
}

// anyCall and anyErrno are what the random sweep draws from.
var (
	anyCall = []string{"splice", "sendfile", "copy_file_range", "read", "write", "recvfrom", "sendmsg", "poll", "ppoll", "pipe2", "openat", "fcntl",
		"close", "fstat", "newfstatat", "statx", "fstatfs", "lseek", "ioctl", "setsockopt", "getsockopt", "socket", "connect", "bind", "getsockname",
		"getpeername", "shutdown", "fsync", "fchmod", "fchown", "flock", "rename", "renameat", "ftruncate", "faccessat2", "unlink",
		"splice,read", "sendfile,splice", "splice,write", "splice,sendfile,copy_file_range"}
	anyErrno = []string{"EINTR", "EAGAIN", "EIO", "ENOSPC", "EPERM", "EINVAL", "ENOSYS", "EMFILE", "ENOMEM", "ECONNRESET", "EPIPE", "EBADF"}
)

// Whatever call fails at whatever moment in whatever way: no end claims what is not so,
// none hangs or crashes, and a failure has its word.
func TestAnyErrors(t *testing.T) {
	program.NeedTool(t, "strace")
	content := program.Noise(700_000, 32)
	names := slices.Sorted(maps.Keys(works))
	names = slices.DeleteFunc(names, func(name string) bool { return strings.HasSuffix(name, "listening") }) // a seed draws what it always drew
	inCrowds(seeds(t, 20, 100), func(seed uint64) {
		r := rand.New(rand.NewPCG(seed, 3))
		in := injection{anyCall[r.IntN(len(anyCall))], anyErrno[r.IntN(len(anyErrno))], fmt.Sprint(1 + r.IntN(1<<r.IntN(5)))}
		if r.IntN(2) == 0 {
			in.when += "+"
			if in.errno == "EINTR" { // a signal does come to an end
				in.when += "2"
			}
		}
		name := names[r.IntN(len(names))]
		dir := newWork(t, content)
		status, said, whole := works[name](t, in, dir, content)
		fail := func(what string) {
			t.Errorf("seed %d, %s with %v: %s; it ended with %d, whole %v: %s", seed, name, in, what, status, whole, said)
		}
		switch {
		case status == 0 && !whole:
			fail("status 0 without all bytes")
		case strings.Contains(said, "error while loading shared libraries"), strings.Contains(said, "runtime: netpoll"):
			// it hit what was there before us
		case status != 0 && said == "" && !strings.Contains(in.call, "write"):
			fail("it said nothing")
		case strings.Contains(said, "goroutine "):
			fail("it crashed")
		case status > 6 && !(status == 141 && in.errno == "EPIPE"):
			fail("no status of ours")
		}
	})
}
