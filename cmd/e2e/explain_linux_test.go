package e2e

import (
	"io"
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/zcp-go/zcp/cmd/e2e/program"
)

// explained wants lines on stderr, in this order and whatever stands between them.
func explained(t *testing.T, p *program.Process, lines ...string) {
	t.Helper()
	rest := p.ErrOut.String()
	for _, line := range lines {
		at := regexp.MustCompile(`(?m)^zcp: ` + line + `$`).FindStringIndex(rest)
		if at == nil {
			t.Errorf("no %q in\n%s", line, p.ErrOut)
			return
		}
		rest = rest[at[1]:]
	}
}

// What --explain tells before and after, for each kind of path.
func TestExplain(t *testing.T) {
	dir := t.TempDir()
	file, out := filepath.Join(dir, "f"), filepath.Join(dir, "out")
	program.WriteFile(t, file, program.Noise(3<<20, 1), 0o644)
	const brake = `ran: (the \w+( or the receiver)?|nothing) was the brake.* \S+ of \S+.*`

	r := program.Zcp(t, "recv", "--explain", "127.0.0.1:0", "-l", out).Start()
	s := program.Zcp(t, "send", "--explain", file, "127.0.0.1:"+r.Port()).Run(0)
	r.Ends(0)
	explained(t, s, `plan: the file is protected: a writer would be noticed \(read lease\)`,
		`plan: file to TCP by splice through a pipe, else sendfile, else read and write`,
		`sent \S+, 3,145,728 bytes \(3.00MiB\), to .*`,
		brake, `ran: splice through a pipe: 3.00MiB in \d+ calls, \S+ a call`,
		`ran: limited by: (receiver window \d+ %, send buffer \d+ %, network and sender \d+ %|nothing .*); \d+ retransmits, RTT \S+`)
	explained(t, r, `plan: TCP to file by splice through a pipe, else read and write`, `plan: borrowed a pipe of \S+`,
		`received \S+, 3,145,728 bytes \(3.00MiB\), from .*`,
		brake, `ran: splice through a pipe: 3.00MiB in \d+ calls, \S+ a call`, `ran: pipe of \S+`)

	explained(t, program.Zcp(t, "cat", "--explain", "-C", "-o", out, file).Run(0), `plan: the file is compared before and after`,
		`plan: file to file by read and write, as --no-splice asks for`, `ran: read and write: 3.00MiB in \d+ calls, \S+ a call`)

	explained(t, program.Zcp(t, "cat", "--explain", "--hash", "blake3", "-o", out, file).Run(0),
		`plan: .*`, `ran: .* 3.00MiB in \d+ calls, \S+ a call`)

	writer, err := os.OpenFile(file, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer writer.Close()
	explained(t, program.Zcp(t, "cat", "--explain", "-o", out, file).Run(0),
		`plan: the file is compared before and after \(no lease: another process has it open for writing\)`,
		`plan: file to file by read and write`, `ran: read and write: 3.00MiB .*`)
}

// A receiver that does not read is what a sender is limited by.
func TestExplainLimit(t *testing.T) {
	t.Parallel()
	s := program.Zcp(t, "send", "--explain", "-s", "64M", "-S", "zero:", "127.0.0.1:0", "-l").Start()
	c := program.Dial(t, s)
	program.WaitFor(t, "a full window", func() bool {
		s.Signal(unix.SIGUSR1)
		return regexp.MustCompile(`stalled`).MatchString(s.ErrOut.String())
	})
	if _, err := io.Copy(io.Discard, c); err != nil {
		t.Fatal(err)
	}
	c.Close()
	s.Ends(0)
	explained(t, s, `ran: limited by: receiver window [1-9]\d+ %, send buffer \d+ %, network and sender \d+ %; \d+ retransmits, RTT \S+`)
}

// A refusal is told with its errno, before and after.
func TestExplainRefusal(t *testing.T) {
	program.NeedTool(t, "strace")
	dir := t.TempDir()
	file := filepath.Join(dir, "f")
	program.WriteFile(t, file, program.Noise(3<<20, 1), 0o644)
	p := program.Command(t, "strace", "-f", "-qq", "-o", os.DevNull, "-e", "trace=copy_file_range", "-e", "inject=copy_file_range:error=EXDEV",
		program.Path(t), "cat", "--explain", "-o", filepath.Join(dir, "out"), file).Start()
	if p.End() != 0 && p.ErrOut.String() == "" || regexp.MustCompile(`ptrace`).MatchString(p.ErrOut.String()) {
		t.Skip("strace may not trace here")
	}
	explained(t, p, `plan: file to file by copy_file_range, else .*`, `plan: copy_file_range refused by the \w+: invalid cross-device link`,
		`plan: file to file by splice through a pipe, .*`, `ran: splice through a pipe: 3.00MiB .*`,
		`ran: copy_file_range refused by the \w+ after 0 bytes: invalid cross-device link`)
}

// The verdict comes first of what ran, and waits for nothing are left out.
func TestExplainVerdict(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "f")
	program.WriteFile(t, file, program.Noise(300<<10, 1), 0o644)
	p := program.Zcp(t, "cat", "--explain", "-L", "1M", "-o", "null:", file).Run(0)
	explained(t, p, `ran: the rate limit was the brake: zcp waited for it 0\.\d+s of 0\.\d+s`, `ran: .* 300KiB in \d+ calls, .*`,
		`ran: waited 0\.\d+s for the rate limit`)

	r := program.Zcp(t, "recv", "--explain", "127.0.0.1:0", "-l", "null:").Start()
	s := program.Zcp(t, "send", "-L", "1M", file, "127.0.0.1:"+r.Port()).Run(0)
	s.Ends(0)
	r.Ends(0)
	explained(t, r, `received .*`, `ran: the sender was the brake: zcp waited for it \S+ of \S+`, `ran: .*300KiB in .*`, `ran: waited \S+ for the sender`)
}
