package program

import (
	"maps"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// A FlagSet holds the flags of a command with their dashes; true means that a value
// follows.
type FlagSet map[string]bool

var helpFlag = regexp.MustCompile(`(?:^|[ ,])(--?[0-9A-Za-z][0-9A-Za-z-]*)`)

// HelpFlags returns the flags of a command: those "zcp COMMAND --help" lists, and the ones
// that are everywhere and listed nowhere. Command "" is zcp itself.
func HelpFlags(t *testing.T, command string) FlagSet {
	t.Helper()
	flags := FlagSet{"-h": false, "--help": false}
	if command == "" {
		maps.Copy(flags, FlagSet{"-V": false, "--version": false})
	}
	var help []byte
	for flag := range maps.Clone(flags) {
		out, err := exec.Command(Path(t), strings.Fields(command+" "+flag)...).Output()
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

// TransferCommands are the commands that have flags of their own.
var TransferCommands = []string{"send", "recv", "cat", "relay", "probe"}

// Difference returns the flags of a that b lacks, in order.
func Difference(a, b FlagSet) []string {
	only := maps.Clone(a)
	maps.DeleteFunc(only, func(flag string, _ bool) bool {
		_, ok := b[flag]
		return ok
	})
	return slices.Sorted(maps.Keys(only))
}
