package main

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"regexp"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// guardTime ends what hangs. Nothing that works waits for it.
const guardTime = 60 * time.Second

// A screen collects what a process prints and wakes those who wait for a line.
type screen struct {
	mu      sync.Mutex
	text    bytes.Buffer
	changed chan struct{}
	closed  bool
}

func newScreen() *screen { return &screen{changed: make(chan struct{})} }

func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.wake()
	return s.text.Write(p)
}

// wake is called with the lock held.
func (s *screen) wake() {
	close(s.changed)
	s.changed = make(chan struct{})
}

func (s *screen) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	s.wake()
}

func (s *screen) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

// await waits until pattern was printed and returns its groups, or nil when the process
// ended without it.
func (s *screen) await(pattern string) []string {
	re := regexp.MustCompile(pattern)
	guard := time.After(guardTime)
	for {
		s.mu.Lock()
		m, changed, closed := re.FindStringSubmatch(s.text.String()), s.changed, s.closed
		s.mu.Unlock()
		if m != nil || closed {
			return m
		}
		select {
		case <-changed:
		case <-guard:
			return nil
		}
	}
}

// A program is a command that runs beside the test: zcp, or one of its peers.
type program struct {
	*exec.Cmd
	t      testing.TB
	out    *screen // stdout, unless it was sent elsewhere
	err    *screen
	ended  chan struct{}
	status int // when ended: the exit status, or 128 and the signal it died of, as a shell has it
}

// command prepares a process. Whatever becomes of the test, it does not outlive it.
func command(t testing.TB, name string, args ...string) *program {
	t.Helper()
	p := &program{Cmd: exec.Command(name, args...), t: t, out: newScreen(), err: newScreen(), ended: make(chan struct{})}
	p.Stdout, p.Stderr = p.out, p.err
	// A group of its own, to end with it whatever it has started.
	p.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	p.WaitDelay = guardTime
	return p
}

// zcp prepares the command under test.
func zcp(t testing.TB, args ...string) *program {
	t.Helper()
	return command(t, zcpPath(t), args...)
}

// with adds variables to the environment.
func (p *program) with(env ...string) *program {
	p.Env = append(p.Environ(), env...)
	return p
}

// from gives the process its standard input.
func (p *program) from(r io.Reader) *program {
	p.Stdin = r
	return p
}

// start starts the process and watches it.
func (p *program) start() *program {
	p.t.Helper()
	if err := startInterruptible(p.Cmd); err != nil {
		p.t.Fatal(err)
	}
	go p.watch()
	go p.guard()
	p.t.Cleanup(func() {
		p.kill(unix.SIGKILL)
		<-p.ended
	})
	return p
}

// guard ends a process that hangs; a Go program shows where.
func (p *program) guard() {
	select {
	case <-p.ended:
		return
	case <-time.After(guardTime):
		p.t.Errorf("%v hangs", p.Args)
	}
	p.kill(unix.SIGABRT)
	select {
	case <-p.ended:
	case <-time.After(guardTime / 4):
		p.kill(unix.SIGKILL)
	}
}

// kill signals the process and everything that it has started and that may be left of it.
func (p *program) kill(s syscall.Signal) {
	_ = unix.Kill(-p.Process.Pid, s) // nothing may be left, which is what we want
}

// startInterruptible starts a process with its signals as a terminal would leave them.
func startInterruptible(c *exec.Cmd) error {
	catchIgnored()
	return c.Start()
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

func (p *program) watch() {
	_ = p.Wait() // the status tells more
	p.status = p.ProcessState.ExitCode()
	if ws, ok := p.ProcessState.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
		p.status = 128 + int(ws.Signal())
	}
	p.out.close()
	p.err.close()
	close(p.ended)
}

// says waits until the process prints pattern on stderr and returns its groups.
func (p *program) says(pattern string) []string {
	p.t.Helper()
	m := p.err.await(pattern)
	if m == nil {
		p.t.Fatalf("%v never said %q, but\n%s", p.Args, pattern, p.err)
	}
	return m
}

// port waits for the line that says where zcp listens.
func (p *program) port() string {
	p.t.Helper()
	return p.says(`listening on \S+:(\d+)`)[1]
}

// end waits for the end and returns the status.
func (p *program) end() int {
	<-p.ended
	return p.status
}

// hasEnded tells whether it has, without waiting.
func (p *program) hasEnded() bool {
	select {
	case <-p.ended:
		return true
	default:
		return false
	}
}

// ends wants the process to end with this status.
func (p *program) ends(status int) *program {
	p.t.Helper()
	if got := p.end(); got != status {
		p.t.Errorf("%v ended with %d, want %d\n%s", p.Args, got, status, p.err)
	}
	return p
}

// signal sends a signal.
func (p *program) signal(s syscall.Signal) {
	p.t.Helper()
	if err := p.Process.Signal(s); err != nil {
		p.t.Error(err)
	}
}

// waitFor looks until something is true that wakes nobody.
func waitFor(t testing.TB, what string, come func() bool) {
	t.Helper()
	for start := time.Now(); time.Since(start) < guardTime; time.Sleep(time.Millisecond) {
		if come() {
			return
		}
	}
	t.Fatalf("waited in vain for %s", what)
}

// run starts a process and wants it to end with this status.
func (p *program) run(status int) *program {
	p.t.Helper()
	return p.start().ends(status)
}
