package completions_test

import (
	"strings"
	"testing"

	"github.com/zcp-go/zcp/cmd/e2e/program"
)

func TestCompletionFlags(t *testing.T) {
	for _, sh := range shellsHere(t) {
		for _, command := range append([]string{""}, program.TransferCommands...) {
			t.Run(sh.name+"/"+command, func(t *testing.T) {
				line := strings.Join(strings.Fields("zcp "+command), " ") + " -"
				offered := program.FlagSet{}
				// A shell may show the long ones only after two dashes.
				for _, words := range sh.offers(t, newPlace(t), []string{line, line + "-"}) {
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
			})
		}
	}
}
