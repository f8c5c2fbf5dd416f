package man_test

import (
	"maps"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/zcp-go/zcp/cmd/e2e/program"
)

// manFlags returns the flags that have an entry of their own in the manual.
func manFlags(t *testing.T, page string) program.FlagSet {
	t.Helper()
	flags := program.FlagSet{}
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
	text, err := os.ReadFile("zcp.1")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestManualFlags(t *testing.T) {
	known := program.HelpFlags(t, "")
	for _, command := range program.TransferCommands {
		maps.Copy(known, program.HelpFlags(t, command))
	}
	manual := manFlags(t, readManual(t))
	if missing := program.Difference(known, manual); missing != nil {
		t.Errorf("man/zcp.1 has no entry for %q", missing)
	}
	if extra := program.Difference(manual, known); extra != nil {
		t.Errorf("man/zcp.1 has entries for %q, which the program does not know", extra)
	}
}

// The SYNOPSIS joins the letters that take no value: exactly the command's, without -h.
func TestManualSynopsis(t *testing.T) {
	page := readManual(t)
	for _, command := range program.TransferCommands {
		var letters []string
		for flag, value := range program.HelpFlags(t, command) {
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
	} else if out, err := exec.Command(mandoc, "-T", "lint", "-W", "warning", "zcp.1").CombinedOutput(); err != nil {
		t.Errorf("mandoc -T lint: %v\n%s", err, out)
	}
}
