package faults

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/zcp-go/zcp/cmd/e2e/program"
	"github.com/zcp-go/zcp/cmd/text"
)

// images are the file systems that need one, and how small it may be.
var images = map[string]struct {
	size    int64
	options []string
}{
	"ext2": {4 << 20, []string{"-q"}}, "ext4": {4 << 20, []string{"-q", "-O", "^has_journal", "-m", "0"}},
	"xfs": {320 << 20, []string{"-q"}}, "btrfs": {128 << 20, []string{"-q"}},
}

// mounted mounts a small file system and returns its folder.
func mounted(t testing.TB, name string) string {
	t.Helper()
	program.NeedRoot(t)
	dir := filepath.Join(t.TempDir(), "disk")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	args := []string{"-t", "tmpfs", "-o", "size=1m", "none", dir}
	if i, ok := images[name]; ok {
		args = []string{"-o", "loop", dir + ".img", dir}
		if err := os.Truncate(mustCreate(t, dir+".img"), i.size); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.Command("mkfs."+name, append(i.options, dir+".img")...).CombinedOutput(); err != nil {
			t.Skipf("NOT TESTED: mkfs.%s: %v %s", name, err, out)
		}
	}
	if out, err := exec.Command("mount", args...).CombinedOutput(); err != nil {
		t.Skipf("NOT TESTED: mount %v: %v %s", args, err, out)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

func mustCreate(t testing.TB, name string) string {
	t.Helper()
	program.WriteFile(t, name, nil, 0o644)
	return name
}

// A full disk at the receiver makes the sender fail, too; what fits is kept and counted.
func TestDiskFull(t *testing.T) {
	content := program.Noise(12<<20, 10)
	name := filepath.Join(t.TempDir(), "in")
	program.WriteFile(t, name, content, 0o644)
	for _, fs := range []string{"tmpfs", "ext4"} {
		t.Run(fs, func(t *testing.T) {
			program.InModes(t, func(t *testing.T, m program.Mode) {
				dir := mounted(t, fs)
				dst := filepath.Join(dir, "out")
				program.WriteFile(t, dst, []byte("old"), 0o644)
				p := m.Zcp(t, "recv", ":0", dst).Start()
				s := m.Zcp(t, "send", name, "127.0.0.1:"+p.Port()).Start()
				p.Ends(1)
				s.Ends(3)
				program.Holds(t, dst, []byte("old"))
				got, err := os.ReadFile(dst + ".part")
				if err != nil || len(got) < 500_000 {
					t.Errorf("%d bytes are kept, %v", len(got), err)
				}
				prefix(t, got, content)
				p.Says(`zcp: \S+/out: no space left on device after \S+; \S+out.part holds \S+\n$`)
				s.Says(`connection reset by peer after \S+( acknowledged \(\S+ more were queued\))?\n$`)

				// Nothing at all fits: nothing is left.
				p = m.Zcp(t, "recv", ":0", filepath.Join(dir, "more")).Start()
				s = m.Zcp(t, "send", name, "127.0.0.1:"+p.Port()).Start()
				p.Ends(1)
				s.Ends(3)
				p.Says(`zcp: \S+/more: no space left on device after`)
				if err := os.Remove(dst + ".part"); err != nil {
					t.Fatal(err)
				}
				c := m.Zcp(t, "cat", name, "-o", filepath.Join(dir, "copy")).Run(1)
				c.Says(`^zcp: \S+/copy: no space left on device after \S+\n$`)
				got, _ = os.ReadFile(filepath.Join(dir, "copy"))
				prefix(t, got, content)
				if want := fmt.Sprintf("after %s\n", text.Size(int64(len(got)))); !strings.HasSuffix(c.ErrOut.String(), want) {
					t.Errorf("%d bytes are in the file, said %q", len(got), c.ErrOut)
				}
			})
		})
	}
}

// The limit of a file's size is an error like any other, and no crash by SIGXFSZ.
func TestFileSizeLimit(t *testing.T) {
	program.InModes(t, func(t *testing.T, m program.Mode) {
		dst := filepath.Join(t.TempDir(), "out")
		p := program.Command(t, "bash", append([]string{"-c", `ulimit -f 100; exec "$0" "$@"`, program.Path(t), "recv", ":0", dst}, m.Args...)...).With(m.Env...).Start()
		s := program.Zcp(t, "send", "zero:", "127.0.0.1:"+p.Port()).Start()
		p.Ends(1)
		s.Ends(3)
		p.Says(`zcp: \S+/out: file too large after 100KiB; \S+/out.part holds 100KiB\n$`)
	})
}
