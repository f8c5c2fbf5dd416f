package conf

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// exampleCommand finds what is typed behind "zcp" in a line of a shell, up to what ends a
// command there.
var exampleCommand = regexp.MustCompile(`(?:^|[ (/$])zcp ([^|&;>()#\\,]*)`)

// TestExamples tries every command that the help, the manual and the README show: each is
// a command line that zcp understands.
func TestExamples(t *testing.T) {
	_, examples, _ := strings.Cut(Help(), "\nExamples\n")
	texts := map[string]string{"zcp --help": examples[:strings.Index(examples, "\n\n")]}
	for _, p := range pages {
		texts["zcp help "+p.name] = p.examples
	}
	for _, name := range []string{"README.md", filepath.Join("man", "zcp.1")} {
		word, err := os.ReadFile(filepath.Join("..", "..", name))
		if err != nil {
			t.Fatal(err)
		}
		texts[name] = examplesOf(string(word))
	}
	for place, word := range texts {
		tried := 0
		for line := range strings.Lines(word) {
			line = strings.NewReplacer("%h", "host", "%p", "22", "./zcp", "zcp", "2>&1", "").Replace(line)
			for _, m := range exampleCommand.FindAllStringSubmatch(line, -1) {
				// In the help, two blanks end the command and begin the remark.
				command, _, _ := strings.Cut(strings.TrimSpace(m[1]), "  ")
				tried++
				if r := runWords(strings.Fields(command), nil); r.err != nil {
					t.Errorf("%s: zcp %s: %v", place, command, r.err)
				}
			}
		}
		if tried < 3 {
			t.Errorf("%s: found only %d examples", place, tried)
		}
	}
}

// examplesOf returns the lines of a page's literal displays, which are mdoc's or those of
// Markdown for a shell.
func examplesOf(page string) string {
	var b strings.Builder
	display := regexp.MustCompile("(?ms)^(?:\\.Bd -literal[^\n]*|```sh)\n(.*?)^(?:\\.Ed|```)$")
	for _, m := range display.FindAllStringSubmatch(page, -1) {
		b.WriteString(m[1])
	}
	return b.String()
}
