package faults

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/zcp-go/zcp/cmd/e2e/program"
)

// Another user's pipe cannot be opened again, and is written to by pwritev2(2) with RWF_NOWAIT. Where a sandbox
// refuses that, a page at a time goes.
func TestForeignPipeWithoutPwritev2(t *testing.T) {
	if _, err := exec.LookPath("setpriv"); err != nil || os.Geteuid() != 0 {
		t.Skip("needs root and setpriv")
	}
	content := program.Noise(300_000, 9)
	path := filepath.Join(t.TempDir(), "in")
	program.WriteFile(t, path, content, 0o644)
	for _, errno := range []string{"EPERM", "EINVAL", "ENOSYS", "EOPNOTSUPP"} {
		in, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer in.Close()
		r, w := program.Pipe(t)
		p := program.Command(t, "setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", program.Path(t), "cat", "-q", "-C").From(in).
			With(program.RefuseVariable + "=" + errno + ":pwritev2")
		p.Stdout = w
		p.Start()
		w.Close()
		got, err := io.ReadAll(r)
		if p.Ends(0); err != nil || string(got) != string(content) {
			t.Errorf("%s: %d bytes, %v", errno, len(got), err)
		}
	}
}
