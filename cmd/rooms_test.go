package cmd

import (
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// TestRooms holds the arrows between the rooms of the program: what each may import of zcp.
func TestRooms(t *testing.T) {
	for room, may := range map[string][]string{
		"text": {}, "exit": {"cmd/text"}, "show": {"cmd/exit", "cmd/text"},
		"conf":  {"cmd/exit", "cmd/text", "completions"},
		"files": {"cmd/atstart", "cmd/exit", "cmd/text", "transfer"},
		"tree":  {"cmd/exit", "cmd/text", "transfer"},
	} {
		sources, err := filepath.Glob(filepath.Join(room, "*.go"))
		if err != nil || len(sources) < 2 {
			t.Fatalf("%s: %v, %v", room, sources, err)
		}
		for _, source := range sources {
			file, err := parser.ParseFile(token.NewFileSet(), source, nil, parser.ImportsOnly)
			if err != nil {
				t.Fatal(err)
			}
			for _, spec := range file.Imports {
				path, err := strconv.Unquote(spec.Path.Value)
				if err != nil {
					t.Fatal(err)
				}
				if of, ours := strings.CutPrefix(path, "github.com/zcp-go/zcp/"); ours && !slices.Contains(may, of) {
					t.Errorf("%s imports %s", source, of)
				}
			}
		}
	}
}
