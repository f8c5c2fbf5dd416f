package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"
	"golang.org/x/sys/unix"

	"github.com/zcp-go/zcp/cmd/e2e/program"
)

// The last line names the file, the exact bytes and the peer in the words of the user; recv's time does not
// count what the sender takes to close.
func TestLastLine(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	program.WriteFile(t, filepath.Join(dir, "in"), program.Noise(1_500_000, 9), 0o644)
	r := program.Zcp(t, "recv", ":0", "out")
	r.Dir = dir
	port := r.Start().Port()
	s := program.Zcp(t, "send", "in", "localhost:"+port)
	s.Dir = dir
	s.Run(0).Says(`(?m)^zcp: sent in, 1,500,000 bytes \(1\.43MiB\), to localhost:` + port + ` \(\S+\) in \S+( \(\S+/s\))?$`)
	r.Ends(0).Says(`(?m)^zcp: received out, 1,500,000 bytes \(1\.43MiB\), from \S+:\d+ in \S+( \(\S+/s\))?$`)

	s = program.Zcp(t, "send", "-", "127.0.0.1:"+startRecv(t)).From(nil)
	s.Run(0).Says(`(?m)^zcp: sent stdin, 0 bytes, to 127\.0\.0\.1:\d+ in `)

	r = program.Zcp(t, "recv", ":0").Start()
	c := program.Dial(t, r)
	program.Write(t, c, []byte("hello"))
	if r.Out.Await("hello") == nil {
		t.Fatal("it never arrived")
	}
	time.Sleep(1100 * time.Millisecond) // the peer that is late
	c.Close()
	r.Ends(0)
	late := regexp.MustCompile(`received 5 bytes, from \S+ in (\S+|less than 1ms)( \(\S+/s\))?; the sender closed \S+ later\n`)
	if !late.MatchString(r.ErrOut.String()) {
		t.Errorf("said %q", r.ErrOut)
	}
}

func startRecv(t *testing.T) (port string) {
	t.Helper()
	return program.Zcp(t, "recv", ":0", "null:").Start().Port()
}

// onTerminal starts a command on a terminal of its own and returns what the terminal shows.
func onTerminal(t *testing.T, columns uint16, name string, args ...string) (*program.Process, *program.Screen) {
	t.Helper()
	p := program.Command(t, name, args...).With("TERM=xterm")
	look, tty, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	if err := pty.Setsize(look, &pty.Winsize{Rows: 24, Cols: columns}); err != nil {
		t.Fatal(err)
	}
	p.Stderr = tty
	p.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setsid: true, Setctty: true, Ctty: 2}
	p.Start()
	tty.Close()
	screen := program.NewScreen()
	t.Cleanup(func() { look.Close() })
	go func() {
		b := make([]byte, 4096)
		for {
			n, err := look.Read(b)
			_, _ = screen.Write(b[:n])
			if err != nil {
				screen.Close()
				return
			}
		}
	}()
	return p, screen
}

func shows(t *testing.T, screen *program.Screen, pattern string) {
	t.Helper()
	if screen.Await(pattern) == nil {
		t.Fatalf("never showed %q, but %q", pattern, screen)
	}
}

// Two of one pipeline that have a name draw in a row each, and the name stands in the last line.
func TestRowsOfAPipeline(t *testing.T) {
	p, screen := onTerminal(t, 80, "sh", "-c", "zcp cat --name in -L 10M zero: | zcp cat --name out > /dev/null")
	// In either order: which of them starts first is the scheduler's.
	shows(t, screen, `\n *(in|out): [^\n]*\x1b\[K\r\x1b\[A`)
	shows(t, screen, `in: [ 0-9.]+MiB 0:00:\d\d \[ *[0-9.]+[MK]iB/s`)
	shows(t, screen, `out: [ 0-9.]+MiB 0:00:\d\d \[ *[0-9.]+[MK]iB/s`)
	p.Kill(unix.SIGINT)
	shows(t, screen, `zcp: (in|out): \S+ to stdout: interrupted after`)
	p.End()
}

// A listener says on a terminal what to type at the other end, where another host can reach this one.
func TestTypeThere(t *testing.T) {
	p, screen := onTerminal(t, 120, program.Path(t), "recv", "--verify", ":0", "null:")
	shows(t, screen, `zcp: listening on (\[::\]:\d+\r|:(\d+) \([0-9a-f:., ]+\); there: zcp send --verify FILE \S+:\d+\r)`)
	p.Kill(unix.SIGINT)
	p.End()
	p, screen = onTerminal(t, 120, program.Path(t), "recv", "-l", "127.0.0.1:0", "null:")
	shows(t, screen, `zcp: listening on 127\.0\.0\.1:\d+\r`)
	p.Kill(unix.SIGINT)
	p.End()
}

// Connecting says how it goes, on the screen and in the end.
func TestConnectingLine(t *testing.T) {
	t.Parallel()
	at := "127.0.0.1:" + strconv.Itoa(program.FreePort())
	p, screen := onTerminal(t, 80, program.Path(t), "send", "--retry-for", "1h", "/dev/null", at)
	shows(t, screen, `connecting to `+at+`, refused \d+ times, (1h00m|59m\d\ds) left`)
	p.Kill(unix.SIGUSR1)
	shows(t, screen, `zcp: connecting to `+at+`, refused \d+ times`)
	p.Kill(unix.SIGTERM)
	p.Ends(143)

	q := program.Zcp(t, "recv", "-v", "--retry-for", "0.3", at).Run(1)
	q.Says(`(?m)^zcp: ` + at + `: connection refused, trying again for \S+$`)
	q.Says(`(?m)^zcp: ` + at + `: connection refused, [2-9] times in 0\.\d\ds$`)
	program.Zcp(t, "recv", at).Run(1).Says(`(?m)^zcp: ` + at + `: connection refused$`)
}

// An estimate is never an error, and more than was expected is shown as such.
func TestEstimatedSize(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		size   string
		status int
	}{{"~1k", 0}, {"~10", 0}, {"~3", 0}, {"1k", 3}} {
		p := program.Zcp(t, "cat", "-s", tt.size).From(strings.NewReader("0123456789")).Run(tt.status)
		if p.Out.String() != "0123456789" {
			t.Errorf("%s: wrote %q", tt.size, p.Out)
		}
		if said := p.ErrOut.String(); tt.status == 0 && said != "" || tt.status == 3 && !strings.Contains(said, "is --size ~SIZE\n") {
			t.Errorf("%s: said %q", tt.size, said)
		}
	}
	for size, of := range map[string]string{"~2k": "~2.00KiB", "2k": "2.00KiB"} {
		p, screen := onTerminal(t, 40, "sh", "-c", "zcp cat -L 20k -s "+size+" zero: > /dev/null")
		shows(t, screen, `[0-9.]+KiB of `+of+` `)
		p.Kill(unix.SIGTERM)
		p.End()
	}
}

// In a file each update is a line, with the time if that is wanted; rates are in bits if that is wanted.
func TestLinesInAFile(t *testing.T) {
	p := program.Zcp(t, "cat", "-f", "-i", "0.1", "-L", "800kbit/s", "--bits", "--log-time", "zero:").With("COLUMNS=60")
	p.Stdout = os.NewFile(uintptr(devNull(t)), "null")
	p.Start()
	const line = `\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}(Z|[+-]\d\d:\d\d)`
	p.Says(`^` + line + ` [ 0-9.]+KiB 0:00:\d\d \[ *[\d.]+kbit/s, mean +[\d.]+kbit/s\]\n` + line + ` [ 0-9.]+KiB `)
	p.Signal(unix.SIGTERM)
	p.Ends(143)
	if said := p.ErrOut.String(); strings.ContainsAny(said, "\r\x1b") {
		t.Errorf("said %q", said)
	}
	p.Says(`\n` + line + ` zcp: "zero:" to stdout: terminated after`)
}

func devNull(t *testing.T) int {
	t.Helper()
	fd, err := unix.Open(os.DevNull, unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	return fd
}

// What cannot be written is refused in words that are true, with a way around it only where that works; and -v
// names variables that are none.
func TestTrueWords(t *testing.T) {
	p, _ := asNobody(t, "recv", ":0", "new")
	p.Run(1)
	if got := p.ErrOut.String(); got != "zcp: cannot create new.part: permission denied\n" {
		t.Errorf("said %q", got)
	}
	p, dir := asNobody(t, "recv", ":0", "old")
	program.WriteFile(t, filepath.Join(dir, "old"), []byte("old"), 0o644) // root's
	p.Run(1)
	if got := p.ErrOut.String(); got != "zcp: old: cannot be written: permission denied\n" {
		t.Errorf("said %q", got)
	}
	p = program.Zcp(t, "cat", "-v", os.DevNull).With("ZCP_RATELIMIT=1M").Run(0)
	p.Says(`(?m)^zcp: ZCP_RATELIMIT is not a variable of zcp, did you mean ZCP_RATE_LIMIT\?$`)
	p = program.Zcp(t, "cat", os.DevNull).With("ZCP_RATELIMIT=1M").Run(0)
	if got := p.ErrOut.String(); got != "" {
		t.Errorf("without -v: %q", got)
	}
}

func hasTool(name string) bool {
	_, err := exec.LookPath(name)
	return err == nil
}
