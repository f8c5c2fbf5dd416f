// Package program is what the tests of the built program stand on: it makes the test binary
// be zcp as well, starts it and its peers, waits for what they print and do, and looks at
// what is left. Every process ends with its test, and what hangs ends after [GuardTime].
// What a test asks for and does not get is an error of that test, said with t.
package program

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/zcp-go/zcp/cmd"
)

// Main is for a package's TestMain. It makes the test binary the command under test as
// well: started as "zcp" it is zcp. What is tested is then always built from the sources at
// hand, and with -race and -cover like the tests themselves. Scripts and tests find it in
// PATH. Main does not return.
func Main(m testscript.TestingM) {
	testscript.Main(tests{m}, map[string]func(){"zcp": asCommand})
}

// tests are those of a package, run where nothing but they is started.
type tests struct{ testscript.TestingM }

// Run keeps the main thread to itself: what a test changes of its thread, as its namespaces, is then never
// what /proc/self shows.
func (m tests) Run() int {
	runtime.LockOSThread()
	return m.TestingM.Run()
}

// asCommand is the command itself, after the kernel was told to refuse what the test
// wants refused.
func asCommand() {
	if err := refuseByEnvironment(); err != nil {
		fmt.Fprintln(os.Stderr, "zcp test:", err)
		os.Exit(99)
	}
	os.Exit(cmd.Main(cmd.Build{}))
}

// Path returns the path of the command, which [Main] has put into PATH.
func Path(t testing.TB) string {
	t.Helper()
	path, err := exec.LookPath("zcp")
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// Build builds zcp from the sources at hand as it is shipped, and copies the file as an installation does: in a
// virtual machine a start from the pages that the linker wrote took 2 ms longer.
func Build(ctx context.Context, out string) error {
	mod, err := exec.CommandContext(ctx, "go", "env", "GOMOD").Output()
	if err != nil {
		return fmt.Errorf("go env: %w", err)
	}
	ldflags := "-s -w"
	if runtime.GOARCH == "amd64" {
		ldflags += " -funcalign=16" // as in .goreleaser.yaml
	}
	linked := out + ".linked"
	c := exec.CommandContext(ctx, "go", "build", "-trimpath", "-tags", "urfave_cli_no_docs", "-ldflags", ldflags, "-o", linked, ".")
	c.Dir = filepath.Dir(strings.TrimSpace(string(mod)))
	c.Env = append(os.Environ(), "CGO_ENABLED=0")
	if text, err := c.CombinedOutput(); err != nil {
		return fmt.Errorf("go build: %w\n%s", err, text)
	}
	built, err := os.ReadFile(linked)
	if err != nil {
		return err
	}
	_ = os.Remove(linked) // it lies in a folder that is removed
	return os.WriteFile(out, built, 0o755)
}
