//go:build unix

package show

import (
	"io"
	"os"
	"testing"

	"github.com/creack/pty"
)

// openPty returns a terminal and the side of who looks at it; what is drawn is
// read away.
func openPty(t testing.TB) (look, tty *os.File) {
	t.Helper()
	look, tty, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tty.Close(); look.Close() })
	go func() { _, _ = io.Copy(io.Discard, look) }() // ends when the test closes it
	return look, tty
}
