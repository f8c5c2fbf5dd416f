package program

import (
	"io"
	"os"
	"os/exec"
	"os/signal"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// NeedRoot skips a test that another user cannot run.
func NeedRoot(t testing.TB) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("NOT TESTED: needs root")
	}
}

// NeedTool skips, loudly, what needs a program that is not installed.
func NeedTool(t testing.TB, names ...string) {
	t.Helper()
	for _, name := range names {
		if _, err := exec.LookPath(name); err != nil {
			t.Skipf("NOT TESTED: %s is not installed", name)
		}
	}
}

// A Process is a command that runs beside the test: zcp, or one of its peers.
type Process struct {
	*exec.Cmd
	t      testing.TB
	Out    *Screen // stdout, unless it was sent elsewhere
	ErrOut *Screen
	ended  chan struct{}
	Status int // when ended: the exit status, or 128 and the signal it died of, as a shell has it
}

// Command prepares a process. Whatever becomes of the test, it does not outlive it.
func Command(t testing.TB, name string, args ...string) *Process {
	t.Helper()
	p := &Process{Cmd: exec.Command(name, args...), t: t, Out: NewScreen(), ErrOut: NewScreen(), ended: make(chan struct{})}
	p.Stdout, p.Stderr = p.Out, p.ErrOut
	// A group of its own, to end with it whatever it has started.
	p.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	p.WaitDelay = GuardTime
	return p
}

// Zcp prepares the command under test.
func Zcp(t testing.TB, args ...string) *Process {
	t.Helper()
	return Command(t, Path(t), args...)
}

// With adds variables to the environment.
func (p *Process) With(env ...string) *Process {
	p.Env = append(p.Environ(), env...)
	return p
}

// From gives the process its standard input.
func (p *Process) From(r io.Reader) *Process {
	p.Stdin = r
	return p
}

// Start starts the process, with its signals as a terminal would leave them, and watches it.
func (p *Process) Start() *Process {
	p.t.Helper()
	catchIgnored()
	if err := p.Cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	go p.watch()
	go p.guard()
	p.t.Cleanup(func() {
		p.Kill(unix.SIGKILL)
		<-p.ended
	})
	return p
}

// guard ends a process that hangs; a Go program shows where.
func (p *Process) guard() {
	select {
	case <-p.ended:
		return
	case <-time.After(GuardTime):
		p.t.Errorf("%v hangs", p.Args)
	}
	p.Kill(unix.SIGABRT)
	select {
	case <-p.ended:
	case <-time.After(GuardTime / 4):
		p.Kill(unix.SIGKILL)
	}
}

// Kill signals the process and everything that it has started and that may be left of it.
func (p *Process) Kill(s syscall.Signal) {
	_ = unix.Kill(-p.Process.Pid, s) // nothing may be left, which is what we want
}

// catchIgnored catches what was ignored when the tests began: a shell's background job ignores
// SIGINT and SIGQUIT, what nohup starts SIGHUP, and so would everything below. What a
// process catches is reset in its children. It stays caught: signal.Reset would ignore it again.
var catchIgnored = sync.OnceFunc(func() {
	for _, s := range []os.Signal{unix.SIGHUP, unix.SIGINT, unix.SIGQUIT, unix.SIGTERM} {
		if signal.Ignored(s) {
			signal.Notify(make(chan os.Signal, 1), s)
		}
	}
})

func (p *Process) watch() {
	_ = p.Wait() // the status tells more
	p.Status = p.ProcessState.ExitCode()
	if ws, ok := p.ProcessState.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
		p.Status = 128 + int(ws.Signal())
	}
	p.Out.Close()
	p.ErrOut.Close()
	close(p.ended)
}

// Says waits until the process prints pattern on stderr and returns its groups.
func (p *Process) Says(pattern string) []string {
	p.t.Helper()
	m := p.ErrOut.Await(pattern)
	if m == nil {
		p.t.Fatalf("%v never said %q, but\n%s", p.Args, pattern, p.ErrOut)
	}
	return m
}

// Port waits for the line that says where zcp listens.
func (p *Process) Port() string {
	p.t.Helper()
	return p.Says(`listening on \S*:(\d+)`)[1]
}

// End waits for the end and returns the status.
func (p *Process) End() int {
	<-p.ended
	return p.Status
}

// HasEnded tells whether it has, without waiting.
func (p *Process) HasEnded() bool {
	select {
	case <-p.ended:
		return true
	default:
		return false
	}
}

// Ends wants the process to end with this status.
func (p *Process) Ends(status int) *Process {
	p.t.Helper()
	if got := p.End(); got != status {
		p.t.Errorf("%v ended with %d, want %d\n%s", p.Args, got, status, p.ErrOut)
	}
	return p
}

// ProcessorTime returns what it used, after its end.
func (p *Process) ProcessorTime() time.Duration {
	return p.ProcessState.UserTime() + p.ProcessState.SystemTime()
}

// Signal sends a signal.
func (p *Process) Signal(s syscall.Signal) {
	p.t.Helper()
	if err := p.Process.Signal(s); err != nil {
		p.t.Error(err)
	}
}

// Run starts a process and wants it to end with this status.
func (p *Process) Run(status int) *Process {
	p.t.Helper()
	return p.Start().Ends(status)
}
