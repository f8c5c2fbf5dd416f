package main

import (
	"fmt"
	"os"
	"os/exec"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestMain makes the test binary the command under test as well: started as "zcp" it is
// zcp. What is tested is then always built from the sources at hand, and with -race and
// -cover like the tests themselves. The scripts and the tests find it in PATH.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"zcp": asCommand})
}

// asCommand is the command itself, after the kernel was told to refuse what the test
// wants refused.
func asCommand() {
	if err := refuseByEnvironment(); err != nil {
		fmt.Fprintln(os.Stderr, "zcp test:", err)
		os.Exit(99)
	}
	main()
}

// zcpPath returns the command as TestMain has put it into PATH.
func zcpPath(t testing.TB) string {
	t.Helper()
	path, err := exec.LookPath("zcp")
	if err != nil {
		t.Fatal(err)
	}
	return path
}
