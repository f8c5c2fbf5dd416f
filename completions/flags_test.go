package completions_test

import (
	"strings"
	"testing"

	"github.com/zcp-go/zcp/cmd/e2e/program"
)

// TestCompletionFlags compares what each shell offers behind a dash with what --help lists, for each command. A shell
// is asked for all of them at once: it takes longer to start than to answer.
func TestCompletionFlags(t *testing.T) {
	t.Parallel()
	for _, sh := range shellsHere(t) {
		t.Run(sh.name, func(t *testing.T) {
			t.Parallel()
			commands := append([]string{""}, program.TransferCommands...)
			var lines []string
			for _, command := range commands {
				line := strings.Join(strings.Fields("zcp "+command), " ") + " -"
				lines = append(lines, line, line+"-") // a shell may show the long ones only after two dashes
			}
			offers := sh.offers(t, newPlace(t), lines)
			for i, command := range commands {
				t.Run(command, func(t *testing.T) { sameFlags(t, command, offers[2*i:2*i+2]) })
			}
		})
	}
}

// sameFlags compares what was offered for a command's two lines with the flags that it has.
func sameFlags(t *testing.T, command string, offers [][]string) {
	offered := program.FlagSet{}
	for _, words := range offers {
		for _, word := range words {
			if word != "-" {
				offered[strings.TrimSuffix(word, "=")] = true
			}
		}
	}
	flags := program.HelpFlags(t, command)
	if missing := program.Difference(flags, offered); missing != nil {
		t.Errorf("not offered: %q", missing)
	}
	if extra := program.Difference(offered, flags); extra != nil {
		t.Errorf("offered, but no flag of the command: %q", extra)
	}
}
