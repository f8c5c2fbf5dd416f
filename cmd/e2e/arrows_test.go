package e2e

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/zcp-go/zcp"

// arrows are the imports inside the module that each package may have: everything that is
// not here is forbidden. Tests, and packages that hold only tests, may import anything.
var arrows = map[string][]string{
	".": {"cmd"},
	"cmd": {
		"cmd/atstart", "cmd/conf", "cmd/show", "cmd/files", "cmd/tree", "cmd/exit", "cmd/text", "cmd/proof", "cmd/processors", "completions",
		"transfer", "transfer/relay", "transfer/rate",
	},
	"cmd/conf":               {"cmd/exit", "cmd/text", "completions"},
	"cmd/show":               {"cmd/exit", "cmd/text"},
	"cmd/files":              {"cmd/atstart", "cmd/exit", "cmd/text", "transfer"},
	"cmd/tree":               {"cmd/exit", "cmd/text", "transfer"},
	"cmd/atstart":            {},
	"cmd/exit":               {"cmd/text"},
	"cmd/text":               {},
	"cmd/proof":              {},
	"cmd/processors":         {},
	"completions":            {},
	"transfer/relay":         {"transfer", "transfer/rate", "transfer/internal/sock", "pipepool"},
	"transfer":               {"transfer/rate", "transfer/internal/sock", "pipepool"},
	"transfer/rate":          {},
	"transfer/internal/sock": {},
	"transfer/internal/bed":  {}, // what the tests of transfer and relay have in common
	"pipepool":               {},
	"cmd/e2e/program":        {"cmd"}, // the harness, which only tests import
}

// outside are the only imports from elsewhere of the packages that move bytes.
const outside = "golang.org/x/sys/"

// A room is a package as go list(1) describes it.
type room struct {
	ImportPath string
	GoFiles    []string
	Imports    []string
}

// wrongArrows returns the imports of a package that are not allowed.
func wrongArrows(r room) (wrong []string) {
	name := roomName(r.ImportPath)
	allowed, known := arrows[name]
	if !known {
		return []string{name + " is not in the table of arrows"}
	}
	movesBytes := name == "pipepool" || name == "transfer" || strings.HasPrefix(name, "transfer/")
	for _, path := range r.Imports {
		host, _, _ := strings.Cut(path, "/")
		switch {
		case path == module || strings.HasPrefix(path, module+"/"):
			if !slices.Contains(allowed, roomName(path)) {
				wrong = append(wrong, name+" -> "+roomName(path))
			}
		case movesBytes && strings.Contains(host, ".") && !strings.HasPrefix(path, outside):
			wrong = append(wrong, name+" -> "+path)
		}
	}
	return wrong
}

// roomName returns a package's folder below the top.
func roomName(path string) string {
	if path == module {
		return "."
	}
	return strings.TrimPrefix(path, module+"/")
}

// listRooms returns the packages of the module as they are built for a system.
func listRooms(t *testing.T, goos string) (all []room) {
	t.Helper()
	list := exec.Command("go", "list", "-json=ImportPath,GoFiles,Imports", "./...")
	list.Dir = filepath.Join("..", "..")
	list.Env = append(os.Environ(), "GOOS="+goos, "CGO_ENABLED=0")
	out, err := list.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	for in := json.NewDecoder(strings.NewReader(string(out))); ; {
		var r room
		if err := in.Decode(&r); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		if len(r.GoFiles) > 0 { // else it holds only tests
			all = append(all, r)
		}
	}
}

// Imports point one way, on each system that zcp is built for.
func TestArrows(t *testing.T) {
	if _, err := exec.LookPath("go"); err != nil {
		t.Skip("NOT TESTED: the go command is not in PATH")
	}
	for _, goos := range []string{"linux", "darwin", "freebsd"} {
		all := listRooms(t, goos)
		if len(all) < 5 {
			t.Errorf("%s: go list names only %v", goos, all)
		}
		for _, r := range all {
			for _, wrong := range wrongArrows(r) {
				t.Errorf("%s: %s", goos, wrong)
			}
		}
	}
}

// What must never be is seen, and what may be is not complained of.
func TestWrongArrows(t *testing.T) {
	for _, test := range []struct {
		from, to string
		wrong    bool
	}{
		{"cmd/conf", "transfer", true}, {"cmd/show", "transfer", true}, {"cmd/conf", "cmd/show", true}, {"cmd/show", "cmd/conf", true},
		{"transfer", "transfer/relay", true}, {"transfer", "cmd", true}, {"cmd/files", "cmd", true}, {"pipepool", "transfer", true},
		{"cmd", "cmd/e2e/program", true}, {"cmd", "cmd/unheardof", true}, {"unheardof", "cmd", true},
		{".", "cmd", false}, {"cmd", "transfer/relay", false}, {"transfer/relay", "transfer", false},
	} {
		path := module + "/" + test.from
		if test.from == "." {
			path = module
		}
		got := wrongArrows(room{ImportPath: path, Imports: []string{"os", module + "/" + test.to}})
		if (len(got) > 0) != test.wrong {
			t.Errorf("%s -> %s: %q", test.from, test.to, got)
		}
	}
	for path, wrong := range map[string]bool{"golang.org/x/sys/unix": false, "net/netip": false, "example.org/spare": true} {
		if got := wrongArrows(room{ImportPath: module + "/transfer", Imports: []string{path}}); (len(got) > 0) != wrong {
			t.Errorf("transfer -> %s: %q", path, got)
		}
	}
}

// The top level of the repository holds this, and names that begin with a dot.
var top = []string{
	"go.mod", "go.sum", "main.go", "cmd", "transfer", "pipepool", "man", "completions", "README.md", "LICENSE", "CHANGELOG.md",
}

func TestTop(t *testing.T) {
	up := filepath.Join("..", "..")
	list := exec.Command("git", "ls-files", "-z")
	list.Dir = up
	out, err := list.Output()
	files := strings.Split(strings.TrimSuffix(string(out), "\x00"), "\x00")
	if err != nil || !slices.Contains(files, "go.mod") {
		t.Skip("NOT TESTED: this is not a checkout of git, or git is not in PATH")
	}
	var there []string
	for _, file := range files {
		name, _, _ := strings.Cut(file, "/")
		if _, err := os.Lstat(filepath.Join(up, name)); err == nil && !strings.HasPrefix(name, ".") && !slices.Contains(there, name) {
			there = append(there, name)
		}
	}
	for _, name := range there {
		if !slices.Contains(top, name) {
			t.Errorf("%s stands at the top level", name)
		}
	}
	for _, name := range top {
		if !slices.Contains(there, name) {
			t.Errorf("%s does not stand at the top level", name)
		}
	}
}
