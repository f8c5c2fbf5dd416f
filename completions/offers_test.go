package completions_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/creack/pty"
	"github.com/zcp-go/zcp/cmd/e2e/program"
)

func TestCompletionOffers(t *testing.T) {
	t.Parallel()
	tests := []struct {
		line string
		want []string // each of these is offered
		not  []string // none of these is
	}{
		{"zcp ", []string{"send", "recv", "cat", "relay", "completion", "help"}, []string{"big.iso", "box.example:"}},
		{"zcp re", []string{"recv", "relay"}, nil},
		{"zcp -q re", []string{"recv", "relay"}, nil},
		{"zcp -qL 1M --idle=5 re", []string{"recv", "relay"}, nil},
		{"zcp -q send bi", []string{"big.iso"}, nil},
		{"zcp send ", []string{"big.iso", "app.sock"}, []string{"box.example:", "recv"}},
		{"zcp send big.iso bo", []string{"box.example:"}, nil},
		{"zcp send big.iso ", []string{"big.iso", "app.sock", "box.example:"}, []string{"big.iso:", "app.sock:", "sub:"}},
		{"zcp send -q --rate-limit 1M big.iso bo", []string{"box.example:"}, nil},
		{"zcp send -qL 1M big", []string{"big.iso"}, nil},
		{"zcp send big.iso unix:ap", []string{"unix:app.sock"}, nil},
		{"zcp recv bo", []string{"box.example:"}, nil},
		{"zcp recv lo", []string{"localhost:"}, nil},
		{"zcp recv bu", nil, []string{"buildbox:"}}, // an alias of ssh's, which zcp cannot look up
		{"zcp send big.iso box.example:", nil, []string{"big.iso", "box.example:big.iso"}},
		{"zcp recv ", []string{"unix:", "fd:", "sd:"}, []string{"big.iso", "::1:", "2001:db8::1:"}}, // want brackets
		{"zcp recv :9000 bi", []string{"big.iso"}, nil},
		{"zcp recv -w 5 :9000 bi", []string{"big.iso"}, nil},
		{"zcp cat big.iso a", []string{"app.sock"}, nil},
		{"zcp cat -o bi", []string{"big.iso"}, nil},
		{"zcp cat --output=bi", []string{"big.iso"}, nil},
		{"zcp cat -s @bi", []string{"@big.iso"}, nil},
		{"zcp relay ", []string{"-", "unix:", "sd:"}, []string{"big.iso", "box.example:"}},
		{"zcp relay :80 bo", []string{"box.example:"}, nil},
		{"zcp relay --stats ", []string{":9100", "unix:"}, nil},
		{"zcp relay --stats unix:ap", []string{"unix:app.sock"}, nil},
		{"zcp send -L ", []string{"1M", "10M", "1G"}, []string{"big.iso"}},
		{"zcp send --rate-limit=1", []string{"1M", "10M", "1G"}, []string{"big.iso"}},
		{"zcp recv -qm ", []string{"1", "100"}, nil},
		{"zcp probe bo", []string{"box.example:"}, nil},
		{"zcp cat --skip ", []string{"100M", "1G"}, []string{"big.iso"}},
		{"zcp send --dscp ", []string{"cs1", "le"}, []string{"big.iso"}},
		{"zcp completion ", []string{"bash", "zsh", "fish"}, []string{"big.iso"}},
		{"zcp help re", []string{"recv", "relay"}, nil},
	}
	for _, sh := range shellsHere(t) {
		t.Run(sh.name, func(t *testing.T) {
			t.Parallel()
			var lines []string
			for _, tt := range tests {
				lines = append(lines, tt.line)
			}
			offers := sh.offers(t, newPlace(t), lines)
			for i, tt := range tests {
				got := offers[i]
				for _, want := range tt.want {
					if !slices.Contains(got, want) {
						t.Errorf("%q: %q is not offered in %q", tt.line, want, got)
					}
				}
				for _, not := range tt.not {
					if slices.Contains(got, not) {
						t.Errorf("%q: %q is offered", tt.line, not)
					}
				}
			}
		})
	}
}

// Completion looks at the words; it must never run them, as scripts that eval the line
// do.
func TestCompletionRunsNothing(t *testing.T) {
	t.Parallel()
	for _, sh := range shellsHere(t) {
		t.Run(sh.name, func(t *testing.T) {
			t.Parallel()
			at := newPlace(t)
			before := program.ListDir(t, at.dir)
			sh.offers(t, at, []string{"zcp send $(touch pwned) ", "zcp cat `touch pwned` b", "zcp send f ;touch pwned;:"})
			if after := program.ListDir(t, at.dir); !slices.Equal(before, after) {
				t.Errorf("pressing TAB changed the folder from %q to %q", before, after)
			}
		})
	}
}

// What readline makes of the offers, with its own idea of where words end, shows only in
// a real bash on a terminal: a host waits for its port right behind the colon, a path
// behind "unix:" is completed in place, and a file ends in a space.
func TestTabInBash(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("bash"); err != nil || bashCompletion() == "" {
		t.Skip("NOT TESTED: bash with bash-completion is not installed")
	}
	at := newPlace(t)
	inputrc := filepath.Join(at.home, ".inputrc")
	if err := os.WriteFile(inputrc, []byte("set enable-bracketed-paste off\nset bell-style none\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("bash", "--norc", "--noprofile", "-i")
	cmd.Dir = at.dir
	cmd.Env = append(os.Environ(), "HOME="+at.home, "INPUTRC="+inputrc, "PS1=ready>", "TERM=dumb", "HISTFILE=")
	screen := startShell(t, cmd)
	// The mark is not in what is typed, only in what it prints.
	screen.write(t, "source "+bashCompletion()+" && source "+completionDir(t)+"/zcp.bash && echo load''ed\r")
	screen.expect(t, "loaded")
	for _, tt := range []struct{ typed, becomes string }{
		{"zcp send big.iso bo\t9000", "zcp send big.iso box.example:9000"},
		{"zcp send big.iso bi\t host:1", "zcp send big.iso big.iso host:1"}, // a file has no colon
		{"zcp send big.iso unix:ap\t", "zcp send big.iso unix:app.sock "},
		{"zcp send -L 1M bi\thost:1", "zcp send -L 1M big.iso host:1"},
		{"zcp cat --output=bi\t-q", "zcp cat --output=big.iso -q"},
		{"zcp rel\t:80", "zcp relay :80"},
		{"zcp recv --no-c\t:9000", "zcp recv --no-clobber :9000"},
		{"zcp recv --rate-l\t5M", "zcp recv --rate-limit=5M"},
	} {
		screen.write(t, tt.typed+"#")
		screen.expect(t, tt.becomes+"#")
		screen.write(t, "\x15\r") // clear the line, and a new prompt
		screen.expect(t, "ready>")
	}
}

// startShell starts a shell on a terminal of its own, and waits until it is ready.
func startShell(t *testing.T, cmd *exec.Cmd) *expecter {
	t.Helper()
	terminal, err := pty.StartWithSize(cmd, &pty.Winsize{Rows: 24, Cols: 200})
	if err != nil {
		t.Fatal(err)
	}
	// Only against a shell that waits for ever: reading ends when no process has the terminal.
	late := time.AfterFunc(time.Minute, func() { _ = cmd.Process.Kill() })
	t.Cleanup(func() {
		late.Stop()
		_ = cmd.Process.Kill() // it may have ended already
		_ = cmd.Wait()
		terminal.Close()
	})
	screen := &expecter{terminal: terminal}
	screen.expect(t, "ready>")
	return screen
}

// TestTabAddress: an address of IPv6 is offered as zcp takes it. (zsh's own list of hosts has no addresses.)
func TestTabAddress(t *testing.T) {
	t.Parallel()
	for _, sh := range shellsHere(t) {
		if sh.name == "zsh" {
			continue
		}
		lines := []string{"zcp recv ", "zcp recv [", "zcp recv [2001:db", "zcp recv [2001:db8::1]:"}
		for i, got := range sh.offers(t, newPlace(t), lines) {
			if has := slices.Contains(got, "[2001:db8::1]:"); has != (i < 3) {
				t.Errorf("%s, %q: offered %v in %q", sh.name, lines[i], has, got)
			}
		}
	}
}

// TestTabInZsh: what a real zsh on a terminal puts into the line at the first and at the second TAB.
func TestTabInZsh(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("zsh"); err != nil {
		t.Skip("NOT TESTED: zsh is not installed")
	}
	at := newPlace(t)
	setup := filepath.Join(at.home, "setup.zsh")
	if err := os.WriteFile(setup, []byte("fpath=("+completionDir(t)+" $fpath)\nautoload -Uz compinit && compinit -u -d $HOME/.zcompdump\nunsetopt beep list_beep zle_bracketed_paste 2>/dev/null\nunset zle_bracketed_paste\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("zsh", "-f", "-i")
	cmd.Dir = at.dir
	cmd.Env = append(os.Environ(), "HOME="+at.home, "PS1=ready>", "TERM=dumb", "HISTFILE=")
	screen := startShell(t, cmd)
	screen.write(t, "source "+setup+" && echo load''ed\r")
	screen.expect(t, "loaded")
	// What the line holds is printed by a widget: what the terminal shows of editing depends on its type.
	screen.write(t, "show() { print -r -- \"line<$BUFFER>\" >/dev/tty; BUFFER= }; zle -N show; bindkey '^X' show; echo bou''nd\r")
	screen.expect(t, "bound")
	for _, tt := range []struct{ typed, becomes string }{
		{"zcp relay \t\t", "zcp relay :"},
		{"zcp rel\t:80", "zcp relay :80"},
		{"zcp send big.iso bo\t9000", "zcp send big.iso box.example:9000"},
		{"zcp send bi\t:9", "zcp send big.iso :9"},
		{"zcp prob\tlo\t80", "zcp probe localhost:80"},
	} {
		screen.write(t, tt.typed+"\x18")
		screen.expect(t, "line<"+tt.becomes+">")
	}
}

// An expecter types into a terminal and waits for what it shows.
type expecter struct {
	terminal *os.File
	seen     []byte
}

func (e *expecter) write(t *testing.T, text string) {
	t.Helper()
	if _, err := e.terminal.WriteString(text); err != nil {
		t.Fatal(err)
	}
}

// expect reads until the terminal has shown text, without its bells.
func (e *expecter) expect(t *testing.T, text string) {
	t.Helper()
	for {
		shown := bytes.ReplaceAll(e.seen, []byte("\a"), nil)
		if _, after, found := bytes.Cut(shown, []byte(text)); found {
			e.seen = after
			return
		}
		buf := make([]byte, 4096)
		n, err := e.terminal.Read(buf)
		if err != nil {
			t.Fatalf("the terminal never showed %q, but %q: %v", text, e.seen, err)
		}
		e.seen = append(e.seen, buf[:n]...)
	}
}
