package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode"

	"github.com/zcp-go/zcp/cmd/e2e/program"
)

// namesFromHell are names that a file may have and a terminal, a shell or a parser of
// operands may stumble over.
var namesFromHell = []string{
	"a b", "-dash", "--quiet", "new\nline", "car\rreturn", "\x1b[2J\x1b]0;title\a", "tab\t", "del\x7f", "c1\u0085\u009b2J",
	"not utf-8 \xff\xfe", "right\u202eto left", "zero\u200bwidth", `quote"d`, `"quoted"`, `back\slash`, "%d %s %%", "*?[]{}$(id)`id`",
	"colon:9000", "fd", "unix", "ends in .part", "~", "#", "ünïcödé", "漢字", "🗜️", strings.Repeat("n", 250),
}

// fitForTerminal fails where text could do more to a terminal than show characters.
func fitForTerminal(t *testing.T, text string) {
	t.Helper()
	for _, r := range strings.ReplaceAll(text, "\n", "") {
		if !unicode.IsPrint(r) {
			t.Errorf("%U reaches the terminal in %q", r, text)
		}
	}
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(line, "zcp: ") && !strings.HasPrefix(line, "{") {
			t.Errorf("a line without its prefix: %q", line)
		}
	}
}

// Names are data: whatever they hold, the right file is read and written, and what is
// said of it cannot act on a terminal nor pass for another line. Each name is sent and received, and
// has one of the other six runs, all six by ZCP_TEST_ALL=1.
func TestNamesFromHell(t *testing.T) {
	t.Parallel()
	for i, name := range namesFromHell {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			here := "./" + name
			run := func(status int, args ...string) *program.Process {
				t.Helper()
				p := program.Zcp(t, args...)
				p.Dir = dir
				p.Run(status)
				fitForTerminal(t, p.ErrOut.String())
				return p
			}
			for j, one := range []func(){
				func() {
					if p := run(1, "cat", here); !strings.Contains(p.ErrOut.String(), "no such file") {
						t.Errorf("missing: %q", p.ErrOut)
					}
				},
				func() { run(1, "cat", "--json", here) },
				func() {
					if p := run(0, "cat", "-v", here); p.Out.String() != "content" {
						t.Errorf("cat: %q", p.Out)
					}
				},
				func() { run(1, "cat", here, "-o", here) },
				func() { run(1, "recv", "--no-clobber", ":0", here) },
				func() { run(2, "send", here, here) },
			} {
				if j == 2 { // it is missing before
					program.WriteFile(t, filepath.Join(dir, name), []byte("content"), 0o644)
				}
				if i%6 == j || program.All() {
					one()
				}
			}
			p := program.Zcp(t, "recv", "-v", ":0", here)
			p.Dir = dir
			p.Start()
			s := program.Zcp(t, "send", "-v", here, "127.0.0.1:"+p.Port())
			s.Dir = dir
			s.Run(0)
			p.Ends(0)
			fitForTerminal(t, p.ErrOut.String()+s.ErrOut.String())
			program.Holds(t, filepath.Join(dir, name), []byte("content"))
			if list := program.ListDir(t, dir); len(list) != 1 || list[0] != name {
				t.Errorf("the folder holds %q", list)
			}
		})
	}
}

// The names of Unix sockets and of what systemd passes come from outside as well.
func TestSocketNamesFromHell(t *testing.T) {
	for _, name := range []string{"a\x1b[2J", "b\nc", "\u202e"} {
		p := program.Zcp(t, "recv", "-v", "-l", "unix:"+name)
		p.Dir = t.TempDir()
		p.Start()
		p.Says("listening on ")
		s := program.Zcp(t, "send", "-v", "/dev/null", "unix:"+name)
		s.Dir = p.Dir
		s.Run(0)
		p.Ends(0)
		fitForTerminal(t, p.ErrOut.String()+s.ErrOut.String())
		p = program.Zcp(t, "recv", "sd:"+name).With("LISTEN_FDS=1", "LISTEN_FDNAMES="+name+"x").Run(1)
		fitForTerminal(t, p.ErrOut.String())
	}
	long := strings.Repeat("n", 256)
	p := program.Zcp(t, "recv", ":0", long)
	p.Dir = t.TempDir()
	p.Run(1)
	if !strings.Contains(p.ErrOut.String(), "file name too long") {
		t.Errorf("said %q", p.ErrOut)
	}
	if list, err := os.ReadDir(p.Dir); err != nil || len(list) != 0 {
		t.Errorf("left %v, %v", list, err)
	}
}
