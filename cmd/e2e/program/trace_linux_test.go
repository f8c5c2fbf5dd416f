package program

import (
	"path/filepath"
	"testing"
)

// A call that strace has written in two parts is one line, and one that has not returned has no result.
func TestTrace(t *testing.T) {
	path := filepath.Join(t.TempDir(), "trace")
	WriteFile(t, path, []byte("7 splice(4, NULL, 5, NULL, 9, 0 <unfinished ...>\n8 read(3,  <unfinished ...>\n9 close(6) = 0\n7 <... splice resumed>) = 9\n"), 0o644)
	const want = "7 splice(4, NULL, 5, NULL, 9, 0) = 9\n8 read(3, \n9 close(6) = 0\n"
	if got := Trace(t, path); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}
