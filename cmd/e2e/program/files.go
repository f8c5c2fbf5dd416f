package program

import (
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
)

// Write writes all of b.
func Write(t testing.TB, w io.Writer, b []byte) {
	t.Helper()
	if _, err := w.Write(b); err != nil {
		t.Error(err)
	}
}

// WriteFile writes a file with exactly this mode.
func WriteFile(t testing.TB, name string, b []byte, mode os.FileMode) {
	t.Helper()
	if err := os.WriteFile(name, b, mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(name, mode); err != nil { // whatever the umask is
		t.Fatal(err)
	}
}

// Holds wants a file to hold exactly want.
func Holds(t testing.TB, name string, want []byte) {
	t.Helper()
	got, err := os.ReadFile(name)
	if err != nil {
		t.Error(err)
	} else if string(got) != string(want) {
		t.Errorf("%s holds %d bytes that are not the %d expected", name, len(got), len(want))
	}
}

// Absent wants no file to have this name.
func Absent(t testing.TB, name string) {
	t.Helper()
	if _, err := os.Lstat(name); !os.IsNotExist(err) {
		t.Errorf("%s is there (%v)", name, err)
	}
}

// Pipe returns the ends of a pipe; both are closed with the test, at the latest.
func Pipe(t testing.TB) (r, w *os.File) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		r.Close()
		w.Close()
	})
	return r, w
}

// ListDir returns the names in a folder, in order.
func ListDir(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// Source makes a file to be sent.
func Source(t testing.TB, content string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "f")
	WriteFile(t, name, []byte(content), 0o644)
	return name
}

// Noise returns n bytes in which no two stretches are alike, so that a byte that was
// lost, doubled or moved shows. The same n and seed give the same bytes.
func Noise(n int, seed uint64) []byte {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8), byte(seed >> 16), 'z'}).Read(b) // never fails
	return b
}
