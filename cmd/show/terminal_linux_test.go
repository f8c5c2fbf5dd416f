package show

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"
	"golang.org/x/sys/unix"
)

// The test binary plays parts in front of a real terminal: a shell with jobs,
// and a job that draws.
func TestMain(m *testing.M) {
	switch os.Getenv("ZCP_TEST_PART") {
	case "job":
		playJob()
	case "shell", "stopping shell":
		play := playShell
		if os.Getenv("ZCP_TEST_PART") != "shell" {
			play = playStoppingShell
		}
		if err := play(); err != nil {
			fmt.Fprintln(os.Stderr, "SHELL FAILED:", err)
			os.Exit(1)
		}
	default:
		os.Exit(m.Run())
	}
}

// playJob draws a line on stderr until stdin ends. Each time the counters are
// read it writes a dot to stdout, so that others know that it lives.
func playJob() {
	var n atomic.Int64
	p := &Progress{Printer: &Printer{W: os.Stderr, Options: Options{Interval: 10 * time.Millisecond}}, Read: func() Snapshot {
		// the reader of the dots may be gone before we are
		_, _ = os.Stdout.WriteString(".")
		return Snapshot{Bytes: n.Add(1 << 20), Acked: n.Load(), Total: 1 << 40}
	}}
	p.Start()
	p.Printer.Say("started")
	_, _ = io.Copy(io.Discard, os.Stdin)
	p.Stop(true)
	p.Printer.Say("done")
	p.Printer.Flush(10 * time.Second)
}

// part is a command that runs this binary in a part.
func part(name string) *exec.Cmd {
	c := exec.Command(os.Args[0])
	c.Env = append(os.Environ(), "ZCP_TEST_PART="+name, "TERM=xterm")
	return c
}

// playShell gives the terminal, which has tostop, to a job that draws and takes
// it away again. Marks on the terminal say when.
func playShell() error {
	signal.Ignore(syscall.SIGTTOU) // or tcsetpgrp would stop us
	if err := setTostop(2); err != nil {
		return err
	}
	job := part("job")
	job.Stderr = os.Stderr
	// it starts with the terminal: under tostop its first message, which is no
	// frame, would stop it by right
	job.SysProcAttr = &syscall.SysProcAttr{Foreground: true, Ctty: 2}
	stdin, err1 := job.StdinPipe()
	dots, err2 := job.StdoutPipe()
	fmt.Fprintln(os.Stderr, "MARK foreground")
	if err := errors.Join(err1, err2, job.Start()); err != nil {
		return err
	}
	for _, step := range []func(int, io.Reader) error{takeBack, handOver, takeBack, handOver} {
		if _, err := io.CopyN(io.Discard, dots, 35); err != nil {
			return fmt.Errorf("the job is gone: %w", err)
		}
		if err := step(job.Process.Pid, dots); err != nil {
			return err
		}
	}
	_, err := io.CopyN(io.Discard, dots, 35)
	fmt.Fprintln(os.Stderr, "MARK end")
	if err := errors.Join(err, stdin.Close()); err != nil {
		return err
	}
	if _, err := io.Copy(io.Discard, dots); err != nil {
		return err
	}
	return job.Wait()
}

// playStoppingShell stops a job that draws as ctrl-Z does, takes the terminal while it
// is stopped, and has it go on.
func playStoppingShell() error {
	signal.Ignore(syscall.SIGTTOU)
	job := part("job")
	job.Stderr = os.Stderr
	job.SysProcAttr = &syscall.SysProcAttr{Foreground: true, Ctty: 2}
	stdin, err1 := job.StdinPipe()
	dots, err2 := job.StdoutPipe()
	if err := errors.Join(err1, err2, job.Start()); err != nil {
		return err
	}
	for range 3 {
		if _, err := io.CopyN(io.Discard, dots, 35); err != nil {
			return fmt.Errorf("the job is gone: %w", err)
		}
		var how unix.WaitStatus
		err := unix.Kill(-job.Process.Pid, unix.SIGTSTP)
		if err == nil {
			_, err = unix.Wait4(job.Process.Pid, &how, unix.WUNTRACED, nil)
		}
		if err != nil || !how.Stopped() || how.StopSignal() != unix.SIGTSTP {
			return fmt.Errorf("the job was not stopped: %v, status %x", err, how)
		}
		if err := giveTerminal(unix.Getpgrp()); err != nil {
			return err
		}
		fmt.Fprintln(os.Stderr, "STOPPED")
		if err := errors.Join(giveTerminal(job.Process.Pid), unix.Kill(-job.Process.Pid, unix.SIGCONT)); err != nil {
			return err
		}
	}
	_, err := io.CopyN(io.Discard, dots, 35)
	if err := errors.Join(err, stdin.Close()); err != nil {
		return err
	}
	if _, err := io.Copy(io.Discard, dots); err != nil {
		return err
	}
	return job.Wait()
}

// handOver gives the terminal to the job.
func handOver(job int, _ io.Reader) error {
	fmt.Fprintln(os.Stderr, "MARK foreground")
	return giveTerminal(job)
}

// takeBack takes the terminal from the job. A tick that had asked who has it may
// still draw once: the first read takes all dots from before, the others are of
// new ticks.
func takeBack(_ int, dots io.Reader) error {
	if err := giveTerminal(unix.Getpgrp()); err != nil {
		return err
	}
	for range 3 {
		if _, err := dots.Read(make([]byte, 65536)); err != nil {
			return fmt.Errorf("the job is gone: %w", err)
		}
	}
	fmt.Fprintln(os.Stderr, "MARK background")
	return nil
}

func giveTerminal(group int) error { return unix.IoctlSetPointerInt(2, unix.TIOCSPGRP, group) }

func setTostop(fd int) error {
	mode, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	if err != nil {
		return err
	}
	mode.Lflag |= unix.TOSTOP
	return unix.IoctlSetTermios(fd, unix.TCSETS, mode)
}

// watchPty runs c on a terminal of that width and returns all it wrote there.
// look, if any, sees each read and may resize the terminal.
func watchPty(t *testing.T, c *exec.Cmd, columns uint16, look func(f *os.File, read string)) string {
	t.Helper()
	f, err := pty.StartWithAttrs(c, &pty.Winsize{Rows: 24, Cols: columns}, &syscall.SysProcAttr{Setsid: true, Setctty: true, Ctty: 2})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	giveUp := time.AfterFunc(30*time.Second, func() { _ = c.Process.Kill() })
	defer giveUp.Stop()
	var all strings.Builder
	buf := make([]byte, 4096)
	for {
		n, err := f.Read(buf)
		all.Write(buf[:n])
		if look != nil {
			look(f, string(buf[:n]))
		}
		if err != nil { // EIO: no process has the terminal open any more
			break
		}
	}
	if err := c.Wait(); err != nil {
		t.Fatalf("%v: %q", err, all.String())
	}
	return all.String()
}

// TestJobControl: in the background nothing is drawn and nothing stops the job,
// though the terminal has tostop; in the foreground it draws again.
func TestJobControl(t *testing.T) {
	parts := strings.Split(watchPty(t, part("shell"), 80, nil), "MARK ")
	if len(parts) != 7 {
		t.Fatalf("%d parts: %q", len(parts), parts)
	}
	for i, want := range []string{"", "foreground", "background", "foreground", "background", "foreground", "end"} {
		name, msg, _ := strings.Cut(parts[i], "\r\n")
		if name != want {
			t.Fatalf("part %d is %q, want %q", i, name, want)
		}
		switch frames := strings.Count(msg, "\x1b[J\r"); {
		case want == "foreground" && frames < 10:
			t.Errorf("%d frames in the foreground: %q", frames, msg)
		case want == "background" && msg != "":
			t.Errorf("written in the background: %q", msg)
		}
	}
}

// TestSuspend: ctrl-Z stops the job, as often as one likes, with the line taken away, and
// it draws on when it is continued.
func TestSuspend(t *testing.T) {
	msg := watchPty(t, part("stopping shell"), 80, nil)
	for i, part := range strings.Split(msg, "STOPPED") {
		if strings.Count(part, "\x1b[J\r") < 5 {
			t.Errorf("part %d: hardly anything is drawn: %q", i, part)
		}
	}
	if got, want := newSheet(80).feed(msg), []string{"zcp: started", "STOPPED", "STOPPED", "STOPPED", "zcp: done"}; fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("the screen ends with %q, want %q", got, want)
	}
}

// TestResize: the line is as wide as the terminal is now, and the end leaves
// nothing of it.
func TestResize(t *testing.T) {
	c := part("job")
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	c.Stdin = r
	dots, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer dots.Close()
	c.Stdout = dots
	widths := []uint16{100, 40, 24, 120}
	frames, at := 0, 0
	msg := watchPty(t, c, widths[0], func(f *os.File, read string) {
		if frames += strings.Count(read, "\x1b[J\r"); frames < 5 {
			return
		}
		frames = 0
		if at++; at < len(widths) {
			if err := pty.Setsize(f, &pty.Winsize{Rows: 24, Cols: widths[at]}); err != nil {
				t.Error(err)
			}
		} else if at == len(widths) {
			w.Close()
		}
	})
	seen := map[int]int{}
	for _, frame := range strings.Split(msg, "\x1b[J\r") {
		if strings.Contains(frame, "%") {
			seen[len(frame)]++
		}
	}
	for _, want := range []int{99, 36, 20, 119} { // at 40 and 24 columns no bar fills the row
		if seen[want]+seen[want+2] == 0 { // an ETA of more than 9 hours is wider
			t.Errorf("no frame of %d columns: %v", want, seen)
		}
	}
	if got, want := newSheet(120).feed(msg), []string{"zcp: started", "zcp: done"}; fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("the screen ends with %q, want %q", got, want)
	}
}

// sheet is the least of a terminal: it writes, returns, and erases below.
type sheet struct {
	rows     [][]rune
	row, col int
	width    int
}

func newSheet(width int) *sheet { return &sheet{rows: make([][]rune, 1), width: width} }

// feed writes text and returns the rows that hold something.
func (s *sheet) feed(msg string) []string {
	for msg != "" {
		if rest, ok := strings.CutPrefix(msg, "\x1b[J"); ok {
			s.rows = s.rows[:s.row+1]
			s.rows[s.row] = s.rows[s.row][:min(s.col, len(s.rows[s.row]))]
			msg = rest
			continue
		}
		if rest, ok := strings.CutPrefix(msg, "\x1b[K"); ok {
			s.rows[s.row] = s.rows[s.row][:min(s.col, len(s.rows[s.row]))]
			msg = rest
			continue
		}
		if rest, ok := strings.CutPrefix(msg, "\x1b[A"); ok {
			s.row--
			msg = rest
			continue
		}
		r := []rune(msg)[0]
		msg = msg[len(string(r)):]
		s.put(r)
	}
	var rows []string
	for _, row := range s.rows {
		if line := strings.TrimRight(string(row), " "); line != "" {
			rows = append(rows, line)
		}
	}
	return rows
}

func (s *sheet) put(r rune) {
	if r == '\r' {
		s.col = 0
		return
	}
	if r == '\n' || s.col == s.width {
		if s.row++; s.row == len(s.rows) {
			s.rows = append(s.rows, nil)
		}
		if r == '\n' {
			return
		}
		s.col = 0
	}
	row := s.rows[s.row]
	for len(row) <= s.col {
		row = append(row, ' ')
	}
	row[s.col] = r
	s.rows[s.row] = row
	s.col++
}

// TestTerminalGone: a terminal that was hung up is not drawn on.
func TestTerminalGone(t *testing.T) {
	look, tty, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer tty.Close()
	found, ok := terminalOf(tty, os.LookupEnv)
	if !ok || !found.drawable() {
		t.Fatalf("a terminal that is not ours: found %v, drawable %v", ok, found.drawable())
	}
	if err := pty.Setsize(look, &pty.Winsize{Rows: 5, Cols: 33}); err != nil || found.columns() != 33 {
		t.Errorf("%d columns, %v", found.columns(), err)
	}
	look.Close()
	if found.drawable() {
		t.Error("a terminal whose last user has closed it is drawable")
	}
	if found.columns() != defaultColumns {
		t.Errorf("%d columns of nothing", found.columns())
	}
}

// TestWithoutStop: the signal mask is what it was before.
func TestWithoutStop(t *testing.T) {
	var before, within, after unix.Sigset_t
	withoutStop(func() {
		if err := unix.PthreadSigmask(unix.SIG_SETMASK, nil, &within); err != nil {
			t.Error(err)
		}
	})
	if err := errors.Join(unix.PthreadSigmask(unix.SIG_SETMASK, nil, &before), unix.PthreadSigmask(unix.SIG_SETMASK, nil, &after)); err != nil {
		t.Fatal(err)
	}
	if within.Val[0]&(1<<(unix.SIGTTOU-1)) == 0 {
		t.Errorf("SIGTTOU is not blocked within: %x", within.Val[0])
	}
	if after.Val[0]&(1<<(unix.SIGTTOU-1)) != 0 {
		t.Errorf("SIGTTOU is blocked afterwards: %x", after.Val[0])
	}
}

// TestRows: those of one pipeline that have a name draw beside each other, and what one of them says stands
// above all lines.
func TestRows(t *testing.T) {
	var screen writes
	on := paper{erasing: true}
	first := &Printer{W: &screen, Options: Options{Name: "in"}}
	second := &Printer{W: &screen, Options: Options{Name: "out"}}
	first.outlet.takeRow(0, on)
	second.outlet.takeRow(1, on)
	draw := func() {
		second.draw("out: 20%", on)
		first.draw("in: 10%", on)
	}
	draw()
	second.Say("hello")
	draw()
	first.clear()
	draw()
	got := newSheet(80).feed(strings.Join(screen.list, ""))
	if want := []string{"zcp: out: hello", "in: 10%", "out: 20%"}; fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("the screen shows %q, want %q", got, want)
	}
	first.clear()
	second.clear()
	if got := newSheet(80).feed(strings.Join(screen.list, "")); fmt.Sprint(got) != "[zcp: out: hello]" {
		t.Errorf("the end leaves %q", got)
	}
}

// TestClaimRow: a row belongs to one holder at a time, and comes back.
func TestClaimRow(t *testing.T) {
	_, tty := openPty(t)
	fd, _ := descriptor(tty)
	a, releaseA, ok := claimRow(fd)
	b, releaseB, ok2 := claimRow(fd)
	if !ok || !ok2 || a != 0 || b != 1 {
		t.Fatalf("rows %d (%v) and %d (%v)", a, ok, b, ok2)
	}
	defer releaseB()
	releaseA()
	c, releaseC, ok := claimRow(fd)
	if !ok || c != 0 {
		t.Errorf("the row that was given back: %d, %v", c, ok)
	}
	releaseC()
}
