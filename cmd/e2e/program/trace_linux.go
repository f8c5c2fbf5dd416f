package program

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

var resumed = regexp.MustCompile(`^(\d+) +<\.\.\. \w+ resumed>`)

// Trace is what "strace -f -o path" has written so far, a call a line. strace writes a call in two parts where another
// thread's call ends before it; here both parts stand where the call began.
func Trace(t testing.TB, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	begun := map[string]int{} // by thread, where in lines
	for line := range strings.Lines(string(b)) {
		if m := resumed.FindStringSubmatch(line); m != nil {
			if at, is := begun[m[1]]; is {
				lines[at] += line[len(m[0]):]
				delete(begun, m[1])
			}
			continue
		}
		if call, is := strings.CutSuffix(line, " <unfinished ...>\n"); is {
			thread, _, _ := strings.Cut(line, " ")
			begun[thread], line = len(lines), call
		}
		lines = append(lines, line)
	}
	for _, at := range begun {
		lines[at] += "\n" // it has not returned
	}
	return strings.Join(lines, "")
}
