package program

import (
	"os"
	"os/exec"
	"testing"
)

// NeedRoot skips a test that another user cannot run.
func NeedRoot(t testing.TB) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("NOT TESTED: needs root")
	}
}

// NeedTool skips, loudly, what needs a program that is not installed.
func NeedTool(t testing.TB, names ...string) {
	t.Helper()
	for _, name := range names {
		if _, err := exec.LookPath(name); err != nil {
			t.Skipf("NOT TESTED: %s is not installed", name)
		}
	}
}
