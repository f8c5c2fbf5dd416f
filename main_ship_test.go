package main

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
)

// The manual and the completions are written by hand, beside the flags. These tests ask
// the built program for its flags and find each of them in all four, and nothing else in
// them.

// shipped builds the program once, as it is shipped; ZCP_BIN names one that is built. It
// lies beside the test's own program, where the go command clears up.
var shipped = sync.OnceValues(func() (string, error) {
	if bin := os.Getenv("ZCP_BIN"); bin != "" {
		return filepath.Abs(bin)
	}
	self, err := os.Executable()
	if err != nil {
		return "", err
	}
	bin := filepath.Join(filepath.Dir(self), "zcp-shipped")
	build := exec.Command("go", "build", "-trimpath", "-tags", "urfave_cli_no_docs", "-ldflags", "-s -w", "-o", bin, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	return bin, nil
})

// zcpBinary returns the path of the built program.
func zcpBinary(t testing.TB) string {
	t.Helper()
	bin, err := shipped()
	if err != nil {
		t.Fatal(err)
	}
	return bin
}

// A flagSet holds the flags of a command with their dashes; true means that a value
// follows.
type flagSet map[string]bool

var helpFlag = regexp.MustCompile(`(?:^|[ ,])(--?[0-9A-Za-z][0-9A-Za-z-]*)`)

// helpFlags returns the flags of a command: those "zcp COMMAND --help" lists, and the ones
// that are everywhere and listed nowhere. Command "" is zcp itself.
func helpFlags(t *testing.T, command string) flagSet {
	t.Helper()
	flags := flagSet{"-h": false, "--help": false}
	if command == "" {
		maps.Copy(flags, flagSet{"-V": false, "--version": false})
	}
	var help []byte
	for flag := range maps.Clone(flags) {
		out, err := exec.Command(zcpBinary(t), strings.Fields(command+" "+flag)...).Output()
		if err != nil || len(out) == 0 {
			t.Fatalf("zcp %s %s: %v, %d bytes on stdout", command, flag, err, len(out))
		}
		if flag == "--help" {
			help = out
		}
	}
	for line := range strings.Lines(string(help)) {
		line = strings.TrimSpace(line)
		// Two spaces end the names and begin the description.
		head, _, _ := strings.Cut(line, "  ")
		names := helpFlag.FindAllStringSubmatch(head, -1)
		if names == nil || !strings.HasPrefix(head, "-") {
			continue
		}
		last := names[len(names)-1][0]
		for _, m := range names {
			flags[m[1]] = !strings.HasSuffix(head, last) // a value stands behind the names
		}
	}
	if command != "" && len(flags) < 5 {
		t.Fatalf("zcp %s --help lists no flags:\n%s", command, help)
	}
	return flags
}

// transferCommands are the commands that move bytes.
var transferCommands = []string{"send", "recv", "cat", "relay"}

// difference returns the flags of a that b lacks, in order.
func difference(a, b flagSet) []string {
	var only []string
	for _, flag := range slices.Sorted(maps.Keys(a)) {
		if _, ok := b[flag]; !ok {
			only = append(only, flag)
		}
	}
	return only
}

func TestCompletionFlags(t *testing.T) {
	for _, sh := range shellsHere(t) {
		for _, command := range append([]string{""}, transferCommands...) {
			t.Run(sh.name+"/"+command, func(t *testing.T) {
				line := strings.Join(strings.Fields("zcp "+command), " ") + " -"
				offered := flagSet{}
				// A shell may show the long ones only after two dashes.
				for _, words := range sh.offers(t, newPlace(t), []string{line, line + "-"}) {
					for _, word := range words {
						if word != "-" {
							offered[strings.TrimSuffix(word, "=")] = true
						}
					}
				}
				flags := helpFlags(t, command)
				if missing := difference(flags, offered); missing != nil {
					t.Errorf("not offered: %q", missing)
				}
				if extra := difference(offered, flags); extra != nil {
					t.Errorf("offered, but no flag of the command: %q", extra)
				}
			})
		}
	}
}

// manFlags returns the flags that have an entry of their own in the manual.
func manFlags(t *testing.T, page string) flagSet {
	t.Helper()
	flags := flagSet{}
	for line := range strings.Lines(page) {
		if !strings.HasPrefix(line, ".It Fl ") {
			continue
		}
		for _, m := range regexp.MustCompile(`(?:\.It|,) Fl (\\-)?([0-9A-Za-z][0-9A-Za-z-]*)`).FindAllStringSubmatch(line, -1) {
			dash := "-"
			if m[1] != "" {
				dash = "--"
			}
			flags[dash+m[2]] = true
		}
	}
	return flags
}

func readManual(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("man", "zcp.1"))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestManualFlags(t *testing.T) {
	program := helpFlags(t, "")
	for _, command := range transferCommands {
		maps.Copy(program, helpFlags(t, command))
	}
	manual := manFlags(t, readManual(t))
	if missing := difference(program, manual); missing != nil {
		t.Errorf("man/zcp.1 has no entry for %q", missing)
	}
	if extra := difference(manual, program); extra != nil {
		t.Errorf("man/zcp.1 has entries for %q, which the program does not know", extra)
	}
}

// The SYNOPSIS joins the letters that take no value: exactly the command's, without -h.
func TestManualSynopsis(t *testing.T) {
	page := readManual(t)
	for _, command := range transferCommands {
		var letters []string
		for flag, value := range helpFlags(t, command) {
			if len(flag) == 2 && !value && flag != "-h" {
				letters = append(letters, flag[1:])
			}
		}
		m := regexp.MustCompile(`\.Cm ` + command + `\n\.Op Fl (\w+)\n`).FindStringSubmatch(page)
		if m == nil {
			t.Errorf("the SYNOPSIS has no letters for %s", command)
			continue
		}
		got := strings.Split(m[1], "")
		slices.Sort(got)
		slices.Sort(letters)
		if !slices.Equal(got, letters) {
			t.Errorf("SYNOPSIS of %s: %s, the program has %s", command, strings.Join(got, ""), strings.Join(letters, ""))
		}
	}
}

// The events of --json are defined by the structs of cmd that have names for JSON: each
// event and each member is in the manual.
func TestManualEvents(t *testing.T) {
	_, events, _ := strings.Cut(readManual(t), ".Sh JSON EVENTS\n")
	events, _, _ = strings.Cut(events, "\n.Sh ")
	var source []byte
	for _, name := range []string{"events.go", "relay_log.go"} {
		text, err := os.ReadFile(filepath.Join("cmd", name))
		if err != nil {
			t.Fatal(err)
		}
		source = append(source, text...)
	}
	words := map[string]bool{}
	for _, macro := range regexp.MustCompile(`(?m)^\.(?:It )?(?:Va|Cm) (.*)$`).FindAllStringSubmatch(events, -1) {
		for _, word := range strings.Fields(macro[1]) {
			words[word] = true
		}
	}
	names := regexp.MustCompile("json:\"([a-z_]+)|\\.set\\(\"([a-z]+)\"").FindAllStringSubmatch(string(source), -1)
	if len(names) < 40 {
		t.Fatalf("cmd has only %d names for JSON", len(names))
	}
	for _, m := range names {
		if name := m[1] + m[2]; !words[name] {
			t.Errorf("man/zcp.1, JSON EVENTS: %s is missing", name)
		}
	}
}

// Every flag that is in the program's help has its variable; the manual gives the rule,
// so the names need no list. What has to be listed are the events and the statuses.
func TestManualSections(t *testing.T) {
	page := readManual(t)
	for _, want := range []string{
		".Sh NAME", ".Sh SYNOPSIS", ".Sh DESCRIPTION", ".Sh ENVIRONMENT", ".Sh SIGNALS", ".Sh FILES",
		".Sh EXIT STATUS", ".Sh EXAMPLES", ".Sh DIAGNOSTICS", ".Sh SEE ALSO", ".Sh CAVEATS",
	} {
		if !strings.Contains(page, want+"\n") {
			t.Errorf("man/zcp.1 has no %s", want)
		}
	}
	if mandoc, err := exec.LookPath("mandoc"); err != nil {
		t.Log("NOT TESTED: mandoc is not installed, so nothing checks the form of man/zcp.1")
	} else if out, err := exec.Command(mandoc, "-T", "lint", "-W", "warning", "man/zcp.1").CombinedOutput(); err != nil {
		t.Errorf("mandoc -T lint: %v\n%s", err, out)
	}
}
