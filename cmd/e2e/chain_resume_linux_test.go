package e2e

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/zcp-go/zcp/cmd/e2e/program"
)

// chainOfThree starts the middle and the last of a chain with --resume, and returns how to start each of them again.
func chainOfThree(t *testing.T, flags ...string) (names []string, starts []func() *program.Process, addr string) {
	t.Helper()
	dir := t.TempDir()
	names = []string{filepath.Join(dir, "middle"), filepath.Join(dir, "last")}
	first, second := fmt.Sprint("127.0.0.1:", program.FreePort()), fmt.Sprint("127.0.0.1:", program.FreePort())
	start := func(args ...string) func() *program.Process {
		return func() *program.Process {
			p := program.Zcp(t, append(append([]string{"recv", "--resume", "-l"}, flags...), args...)...).Start()
			p.Says(`listening on`)
			return p
		}
	}
	return names, []func() *program.Process{start(first, names[0], "--to", second), start(second, names[1])}, first
}

// sizeOf is 0 for a file that does not exist.
func sizeOf(name string) int64 {
	fi, err := os.Stat(name)
	if err != nil {
		return 0
	}
	return fi.Size()
}

// atLeast waits until a file has n bytes or more.
func atLeast(t *testing.T, name string, n int64) {
	t.Helper()
	program.WaitFor(t, fmt.Sprintf("%d bytes in %s", n, name), func() bool { return sizeOf(name) >= n })
}

// kill9 ends a process as a crash does.
func kill9(t *testing.T, p *program.Process) {
	t.Helper()
	p.Signal(unix.SIGKILL)
	p.Ends(128 + int(unix.SIGKILL))
}

// The middle is killed, then the last; each is started again and goes on with its part. The head, which heals, ends
// with 0 only when all have it.
func TestChainResumeHeals(t *testing.T) {
	t.Parallel()
	src, _, data := resumable(t, 16*megabyte, 0)
	names, start, addr := chainOfThree(t, "--verify", "--retry-for", "60")
	middle, last := start[0], start[1]
	l, m := last(), middle()
	head := program.Zcp(t, "send", "--resume", "--verify", "--retry-for", "60", "-L", "4M", src, addr).Start()

	atLeast(t, names[1]+".part", 2*megabyte)
	kill9(t, m)
	l.Says(`for another connection`)
	m = middle()
	m.Says(`middle.part holds .*, going on from there`)
	m.Says(`has .* of 16.0MiB, going on from there`) // the last has kept its part

	at := sizeOf(names[1] + ".part")
	atLeast(t, names[1]+".part", at+megabyte)
	kill9(t, l)
	m.Says(`for another connection`)
	program.AwaitSize(t, names[0], int64(len(data))) // it has its name while the last is away
	if head.HasEnded() || m.HasEnded() {
		t.Errorf("ended before the last has it:\n%s%s", head.ErrOut, m.ErrOut)
	}
	l = last()
	l.Says(`last.part holds .*, going on from there`)
	for _, p := range []*program.Process{head, m, l} {
		p.Ends(0)
	}
	head.Says(`verified, by 2 machines`)
	for _, name := range names {
		program.Holds(t, name, data)
		program.Absent(t, name+".part")
	}
}

// Without --retry-for a killed chain is started again by hand, from parts of any two lengths, of which the last's may
// be the longer, over TCP.
func TestChainResumeParts(t *testing.T) {
	const size = 4*megabyte + 99
	for _, part := range [][2]int{{0, 0}, {size, 3}, {megabyte + 5, 3 * megabyte}, {3 * megabyte, megabyte + 5}, {0, size}, {size, size}} {
		t.Run(fmt.Sprint(part), func(t *testing.T) {
			t.Parallel()
			src, _, data := resumable(t, size, 0)
			names, start, addr := chainOfThree(t)
			for i, name := range names {
				if part[i] > 0 {
					program.WriteFile(t, name+".part", data[:part[i]], 0o644)
				}
			}
			l, m := start[1](), start[0]()
			program.Zcp(t, "send", "--resume", "--linger", "0.01", src, addr).Run(0)
			m.Ends(0)
			l.Ends(0)
			for i, name := range names {
				program.Holds(t, name, data)
				if part[i] > 0 {
					[]*program.Process{m, l}[i].Says(`going on from there`)
				}
			}
		})
	}
}

// A part of another file, at the middle or at the last, is not added to, and no machine behind it gets an end.
func TestChainResumeForeign(t *testing.T) {
	for i, part := range []string{"middle", "last"} {
		t.Run(part, func(t *testing.T) {
			src, _, data := resumable(t, 2*megabyte, 0)
			names, start, addr := chainOfThree(t)
			other := program.Noise(megabyte, 4711)
			program.WriteFile(t, names[i]+".part", other, 0o644)
			l, m := start[1](), start[0]()
			program.Zcp(t, "send", "--resume", src, addr).Run(3)
			m.Ends(3)
			program.Holds(t, names[i]+".part", other)
			program.Absent(t, names[1])
			if i == 0 { // nothing was passed on: the last still listens
				program.Absent(t, names[0])
				if l.HasEnded() {
					t.Errorf("the last ended:\n%s", l.ErrOut)
				}
				return
			}
			program.Holds(t, names[0], data)
			l.Ends(3).Says(`has another file`)
		})
	}
}

// A sender of a plain stream: with its size a next that has a part goes on, without it the stream is passed on
// from the start, which such a next refuses and a new one takes.
func TestChainResumePlain(t *testing.T) {
	data := program.Noise(3*megabyte, 4712)
	for _, tc := range []struct {
		size string
		part int
		ends int
	}{{fmt.Sprint(len(data)), 2 * megabyte, 0}, {"", 2 * megabyte, 3}, {"", 0, 0}} {
		t.Run(fmt.Sprint(tc), func(t *testing.T) {
			var flags []string
			if tc.size != "" {
				flags = []string{"-s", tc.size}
			}
			names, start, _ := chainOfThree(t, flags...)
			if tc.part > 0 {
				program.WriteFile(t, names[1]+".part", data[:tc.part], 0o644)
			}
			l, m := start[1](), start[0]()
			c := program.Dial(t, m)
			program.Write(t, c, data[:megabyte])
			if tc.size == "" { // before the end tells it
				m.Says(`the size is not known, so it is passed on from the start`)
			}
			program.Write(t, c, data[megabyte:])
			check(t, c.CloseWrite())
			m.Ends(tc.ends)
			program.Holds(t, names[0], data)
			if l.Ends(tc.ends); tc.ends == 0 {
				program.Holds(t, names[1], data)
			} else {
				l.Says(`did not say where it begins`)
				program.Holds(t, names[1]+".part", data[:tc.part])
			}
		})
	}
}

// A head that is started again while the last is waited for: the middle has its file, and the new head waits with it.
func TestChainResumeHeadAgain(t *testing.T) {
	t.Parallel()
	src, dst, data := resumable(t, 2*megabyte, 0)
	ln, _ := program.Listening(t)
	m := program.Zcp(t, "recv", "--resume", "--retry-for", "60", ":0", dst, "--to", ln.Addr().String()).Start()
	addr := "127.0.0.1:" + m.Port()
	head := program.Zcp(t, "send", "--resume", "--retry-for", "60", src, addr).Start()
	c, err := ln.Accept()
	check(t, err)
	program.Write(t, c, []byte("zcp1 want from=1048577 key=0123456789abcdef\n"))
	answer := "zcp1 at from=1 size=2097152 key=0123456789abcdef\n"
	if got := string(program.ReadN(t, c, len(answer))); got != answer {
		t.Errorf("the next is answered %q", got)
	}
	program.AwaitSize(t, dst, int64(len(data)))
	kill9(t, head)
	head = program.Zcp(t, "send", "--resume", "--retry-for", "60", src, addr).Start()
	head.Says(`has 2.00MiB of 2.00MiB`)
	got, err := io.ReadAll(c)
	if err != nil || string(got) != string(data[1:]) {
		t.Errorf("the next got %d bytes, %v", len(got), err)
	}
	if head.HasEnded() || m.HasEnded() {
		t.Errorf("ended before the next has closed:\n%s%s", head.ErrOut, m.ErrOut)
	}
	c.Close()
	m.Ends(0)
	head.Ends(0)
	program.Holds(t, dst, data)
}
