package completions_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// A shell offers what the user could type next. The three here are the real ones,
// asked the way each of them asks itself; nothing is parsed off a screen.
type shell struct {
	name string
	// offers returns, for each line, the words offered for its last word: whole words,
	// except that what precedes a "=" inside the word is not repeated.
	offers func(t *testing.T, at place, lines []string) [][]string
}

// A place is where the shell runs: its home, with known hosts, and its folder, with
// files.
type place struct{ home, dir string }

var shells = []shell{{"bash", bashOffers}, {"zsh", zshOffers}, {"fish", fishOffers}}

// shellsHere returns the shells that are installed and names the others loudly.
func shellsHere(t *testing.T) []shell {
	t.Helper()
	var here []shell
	for _, s := range shells {
		if _, err := exec.LookPath(s.name); err != nil {
			t.Logf("NOT TESTED: %s is not installed", s.name)
			continue
		}
		if s.name == "bash" && bashCompletion() == "" {
			t.Log("NOT TESTED: bash, because the package bash-completion is not installed")
			continue
		}
		here = append(here, s)
	}
	if len(here) == 0 {
		t.Skip("NOT TESTED: none of bash with bash-completion, zsh and fish is installed")
	}
	return here
}

// bashCompletion returns the place of the bash-completion package, or "" where it, or
// what it runs, is not installed.
func bashCompletion() string {
	for _, name := range []string{"sed", "awk"} {
		if _, err := exec.LookPath(name); err != nil {
			return ""
		}
	}
	for _, p := range []string{
		"/usr/share/bash-completion/bash_completion", "/usr/local/share/bash-completion/bash_completion",
		"/opt/homebrew/share/bash-completion/bash_completion",
	} {
		if _, err := os.Stat(p); err == nil {
			return p
		}
	}
	return ""
}

// newPlace makes a home that knows the host box.example and a folder that holds
// big.iso, app.sock and the folder sub.
func newPlace(t *testing.T) place {
	t.Helper()
	at := place{home: t.TempDir(), dir: t.TempDir()}
	files := map[string]string{
		filepath.Join(at.home, ".ssh", "known_hosts"): "box.example,2001:db8::1 ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIMW\n",
		filepath.Join(at.home, ".ssh", "config"):      "Host buildbox\n  HostName 192.0.2.7\n",
		filepath.Join(at.dir, "big.iso"):              "data",
		filepath.Join(at.dir, "app.sock"):             "",
		filepath.Join(at.dir, "sub", "x"):             "",
	}
	for name, text := range files {
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return at
}

// runShell runs a shell in a place and returns its standard output by lines.
func runShell(t *testing.T, at place, name string, args ...string) []string {
	t.Helper()
	// Only against a shell that waits for ever; none takes a second.
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.WaitDelay = time.Second
	cmd.Dir = at.dir
	cmd.Env = append(os.Environ(), "HOME="+at.home, "XDG_CONFIG_HOME="+at.home, "XDG_DATA_HOME="+at.home,
		"LC_ALL=C.UTF-8", "TERM=xterm", "DIR="+completionDir(t))
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if ee := (*exec.ExitError)(nil); err != nil && !errors.As(err, &ee) {
		t.Fatal(err)
	}
	if text := strings.TrimSpace(stderr.String()); text != "" {
		t.Errorf("%s wrote to its standard error: %s", name, text)
	}
	return strings.FieldsFunc(string(out), func(r rune) bool { return r == '\n' || r == '\r' })
}

func completionDir(t *testing.T) string {
	t.Helper()
	dir, err := filepath.Abs(".")
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// readlineWords splits a line as readline does: ":" and "=" are words of their own.
func readlineWords(line string) []string {
	var words []string
	for _, word := range strings.Split(line, " ") {
		for {
			i := strings.IndexAny(word, ":=")
			if i < 0 {
				break
			}
			if i > 0 {
				words = append(words, word[:i])
			}
			words = append(words, word[i:i+1])
			word = word[i+1:]
			if word == "" {
				break
			}
		}
		if word != "" || strings.HasSuffix(line, " ") {
			words = append(words, word)
		}
	}
	return words
}

// bashDriver asks for each line in a subshell: nothing of one answer is left for the next.
const bashDriver = `
source "$1"; source "$DIR/zcp.bash"; shift
compopt() { :; }
while (($#)); do
  COMP_LINE=$1; COMP_POINT=${#1}; n=$2; shift 2
  COMP_WORDS=("${@:1:n}"); COMP_CWORD=$((n - 1)); shift "$n"
  (_zcp; printf '%s\n' "${COMPREPLY[@]}")
  echo __next__
done
`

func bashOffers(t *testing.T, at place, lines []string) [][]string {
	t.Helper()
	args := []string{"-c", bashDriver, "bash", bashCompletion()}
	for _, line := range lines {
		words := readlineWords(line)
		args = append(append(args, line, strconv.Itoa(len(words))), words...)
	}
	all := byLine(t, lines, runShell(t, at, "bash", args...))
	for i, line := range lines {
		// Readline keeps what stands before the last colon of the word.
		word := line[strings.LastIndexByte(line, ' ')+1:]
		kept := word[:strings.LastIndexByte(word, ':')+1]
		for j := range all[i] {
			all[i][j] = kept + all[i][j]
		}
	}
	return all
}

// byLine divides what a shell printed, which ends each answer with __next__.
func byLine(t *testing.T, lines, printed []string) (all [][]string) {
	t.Helper()
	var offers []string
	for _, word := range printed {
		if word == "__next__" {
			all = append(all, offers)
			offers = nil
			continue
		}
		offers = append(offers, word)
	}
	if len(all) != len(lines) {
		t.Fatalf("the shell answered %d of %d lines", len(all), len(lines))
	}
	return all
}

// zshDriver types each line and TAB into one interactive zsh on a pseudo terminal, whose
// compadd writes down every match it is given. ^U clears the line for the next.
const zshDriver = `
zmodload zsh/zpty || exit 1
cat > $HOME/setup.zsh <<'END'
PS1='rea''dy>'
fpath=($DIR $fpath)
autoload -Uz compinit && compinit -u -d $HOME/.zcompdump
compadd() {
  if [[ ${@[1,(i)(-|--)]} != *-(O|A|D)\ * ]]; then
    local -a hits suffix rest
    builtin compadd -A hits "$@"
    zparseopts -E -a rest S:=suffix
    (( $#hits )) && print -rl -- $IPREFIX${^hits}${suffix[2]} >> $HOME/hits
  fi
  builtin compadd "$@"
}
capture() { compstate[insert]=; compstate[list]=; _main_complete; print __done__ >/dev/tty }
zle -C capture complete-word capture
bindkey '^I' capture
END
zpty z zsh -f -i
zpty -w z 'stty -echo; source $HOME/setup.zsh'
zpty -r z out '*ready>*'
for line do
  zpty -w -n z $'\C-u'"$line"$'\t'
  zpty -r z out '*__done__*'
  print __next__ >> $HOME/hits
done
zpty -d z
cat $HOME/hits && rm $HOME/hits
`

func zshOffers(t *testing.T, at place, lines []string) [][]string {
	t.Helper()
	args := append([]string{"-f", "-c", zshDriver, "zsh"}, lines...)
	all := byLine(t, lines, runShell(t, at, "zsh", args...))
	for _, offers := range all {
		for i := range offers {
			offers[i] = valueOf(offers[i])
		}
	}
	return all
}

func fishOffers(t *testing.T, at place, lines []string) [][]string {
	t.Helper()
	args := append([]string{"--no-config", "-c", `source $DIR/zcp.fish; for line in $argv; complete -C $line; echo __next__; end`}, lines...)
	all := byLine(t, lines, runShell(t, at, "fish", args...))
	for _, offers := range all {
		for i := range offers {
			word, _, _ := strings.Cut(offers[i], "\t")
			offers[i] = valueOf(word)
		}
	}
	return all
}

// valueOf returns V of --flag=V, and any other word as it is.
func valueOf(word string) string {
	if _, value, _ := strings.Cut(word, "="); strings.HasPrefix(word, "--") && value != "" {
		return value
	}
	return word
}
