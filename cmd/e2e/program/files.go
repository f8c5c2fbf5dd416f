package program

import (
	"bytes"
	"encoding/binary"
	"io"
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
	f, err := os.Open(name)
	if err != nil {
		t.Error(err)
		return
	}
	defer f.Close()
	b := make([]byte, 256<<10) // to read all at once would clear as much memory first
	for at := 0; ; {
		n, err := f.Read(b)
		if at+n > len(want) || !bytes.Equal(b[:n], want[at:at+n]) {
			t.Errorf("%s holds other bytes than the %d expected, after %d at the earliest", name, len(want), at)
			return
		}
		if at += n; err == io.EOF && at == len(want) {
			return
		} else if err != nil {
			t.Errorf("%s holds %d bytes, want %d: %v", name, at, len(want), err)
			return
		}
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
// lost, doubled or moved shows. The same seed gives the same bytes. It is SplitMix64 (Steele, Lea and
// Flood, 2014), ten times as fast as the generators of math/rand: it maps a counter one to one, so no
// two words of it are the same.
func Noise(n int, seed uint64) []byte {
	b := make([]byte, (n+7)&^7)
	for x, i := mixed(seed+1), 0; i < len(b); i += 8 {
		x += 0x9e3779b97f4a7c15
		binary.LittleEndian.PutUint64(b[i:], mixed(x))
	}
	return b[:n:n]
}

// mixed is the output function of SplitMix64.
func mixed(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
