package e2e

import (
	"archive/tar"
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/zcp-go/zcp/cmd/e2e/program"
)

// From zcp to zcp, a tree is the same in every detail, in a new directory and in one that exists.
func TestTreeRoundTrip(t *testing.T) {
	t.Parallel()
	program.NeedRoot(t) // setuid and setgid
	program.InModes(t, func(t *testing.T, m program.Mode) {
		src, dst := nastyTree(t), filepath.Join(t.TempDir(), "dst")
		want := list(t, src)
		t.Cleanup(func() { os.Chmod(filepath.Join(dst, "d"), 0o755) }) // so that it can be removed
		for range 2 {
			p := m.Zcp(t, "recv", "--special", "127.0.0.1:0", "-l", dst+"/").Start()
			m.Zcp(t, "send", "--special", src+"/", "127.0.0.1:"+p.Port()).Run(0)
			p.Ends(0)
			sameTree(t, want, list(t, dst))
			program.Absent(t, dst+".part")
		}
	})
}

// What others write is unpacked as it is, without a sender's rights, whatever the umask is.
func TestUnpackOthers(t *testing.T) {
	t.Parallel()
	for name, pack := range map[string]string{
		"GNU, pax": "tar --format=pax -S -C src -c .", "GNU": "tar --format=gnu -S -C src -c .", "ustar": "tar --format=ustar -C src -c small d",
		"bsdtar": "bsdtar -C src -cf - .", "busybox": "busybox tar -C src -c .",
	} {
		t.Run(name, func(t *testing.T) {
			program.NeedTool(t, strings.Fields(pack)[0])
			dir := t.TempDir()
			src := filepath.Join(dir, "src")
			must(t, os.MkdirAll(filepath.Join(src, "d"), 0o755))
			for name, body := range map[string][]byte{"small": []byte("small"), "d/large": program.Noise(300_000, 5)} {
				program.WriteFile(t, filepath.Join(src, name), body, 0o666)
				must(t, os.Chmod(filepath.Join(src, name), 0o666))
			}
			must(t, os.Truncate(filepath.Join(src, "d/large"), 5<<20), os.Symlink("small", filepath.Join(src, "d/link")),
				os.Link(filepath.Join(src, "small"), filepath.Join(src, "d/hard")))
			p := program.Command(t, "sh", "-c", "umask 077; "+pack+` | "$0" cat -o dst/`, program.Path(t))
			p.Dir = dir
			p.Run(0)
			for _, name := range []string{"small", "d/large", "d/hard"} {
				want, err := os.ReadFile(filepath.Join(src, name))
				must(t, err)
				program.Holds(t, filepath.Join(dir, "dst", name), want)
				if fi, err := os.Stat(filepath.Join(dir, "dst", name)); err != nil || fi.Mode() != 0o666 {
					t.Errorf("%s: mode %v, %v", name, fi.Mode(), err)
				}
			}
			if to, err := os.Readlink(filepath.Join(dir, "dst/d/link")); to != "small" {
				t.Errorf("link to %q, %v", to, err)
			}
		})
	}
}

// sendStream sends these bytes to a recv into dst, and returns it and whether it saw a reset.
func sendStream(t testing.TB, dst string, stream []byte) (p *program.Process, reset bool) {
	p = program.Zcp(t, "recv", "127.0.0.1:0", "-l", dst+"/").Start()
	c := program.Dial(t, p)
	c.Write(stream) // a reset that comes early is the point of some
	c.CloseWrite()
	_, err := c.Read(make([]byte, 1))
	return p, err != nil && strings.Contains(err.Error(), "reset")
}

func tarOf(t testing.TB, names ...string) []byte {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, name := range names {
		must(t, w.WriteHeader(&tar.Header{Name: name, Size: 3, Mode: 0o644}))
		_, err := w.Write([]byte("new"))
		must(t, err)
	}
	must(t, w.Close())
	return b.Bytes()
}

// What the statuses are, what is left, and what the sender sees.
func TestUnpackStatus(t *testing.T) {
	whole := tarOf(t, "a", "b")
	for name, tc := range map[string]struct {
		stream []byte
		status int
		says   string
		holds  []string // of dst; nil: there is none
		reset  bool
	}{
		"whole":      {whole, 0, "received .*, 6 bytes, from", []string{"a", "b"}, false},
		"padded":     {append(slices.Clone(whole), make([]byte, 8192)...), 0, "received .*, 6 bytes, from", []string{"a", "b"}, false},
		"refused":    {tarOf(t, "a", "../b"), 1, `\.\./b: refused: \.\. in the name`, []string{"a"}, true},
		"truncated":  {whole[:1536], 3, "the tar stream ended early; .*dst.part holds what was complete", nil, true},
		"damaged":    {append(slices.Clone(whole[:1024]), bytes.Repeat([]byte("x"), 1024)...), 1, "the tar stream is damaged", nil, true},
		"no tar":     {bytes.Repeat([]byte("text\n"), 500), 1, "not a tar stream", nil, true},
		"compressed": {append([]byte("\x1f\x8b"), make([]byte, 1000)...), 1, "gzip -d", nil, true},
		"nothing":    {nil, 3, "nothing arrived", nil, true},
	} {
		t.Run(name, func(t *testing.T) {
			dst := filepath.Join(t.TempDir(), "dst")
			p, reset := sendStream(t, dst, tc.stream)
			p.Ends(tc.status).Says(tc.says)
			if reset != tc.reset {
				t.Errorf("reset: %v", reset)
			}
			if tc.holds == nil {
				program.Absent(t, dst)
			} else if got := program.ListDir(t, dst); !slices.Equal(got, tc.holds) {
				t.Errorf("dst holds %q", got)
			}
			if name == "nothing" || name == "no tar" {
				program.Absent(t, dst+".part")
			}
		})
	}
}

// In a directory that exists, files are replaced when they are complete, and others stay.
func TestUnpackIntoExisting(t *testing.T) {
	dst := filepath.Join(t.TempDir(), "dst")
	must(t, os.Mkdir(dst, 0o755))
	for _, name := range []string{"a", "b", "mine"} {
		program.WriteFile(t, filepath.Join(dst, name), []byte("old"), 0o600)
	}
	p, _ := sendStream(t, dst, tarOf(t, "a", "b")[:1536+1]) // b is not complete
	p.Ends(3)
	for name, want := range map[string]string{"a": "new", "b": "old", "mine": "old"} {
		program.Holds(t, filepath.Join(dst, name), []byte(want))
	}
	if got := program.ListDir(t, dst); !slices.Equal(got, []string{"a", "b", "mine"}) {
		t.Errorf("dst holds %q", got)
	}
}

// Two recvs into one new directory: the second is refused, and the first goes on.
func TestUnpackTwice(t *testing.T) {
	dst := filepath.Join(t.TempDir(), "dst")
	first := program.Zcp(t, "recv", "127.0.0.1:0", "-l", dst+"/").Start()
	c := program.Dial(t, first)
	whole := tarOf(t, "a", "b")
	program.Write(t, c, whole[:1024])
	program.WaitFor(t, "the first file", func() bool { _, err := os.Lstat(dst + ".part/a"); return err == nil })
	second, _ := sendStream(t, dst, whole)
	second.Ends(1).Says("another zcp is receiving into it")
	program.Write(t, c, whole[1024:])
	c.CloseWrite()
	first.Ends(0)
	program.Holds(t, filepath.Join(dst, "b"), []byte("new"))
}

// A file where DST.part has to be is in the way, which is known before anything is listened for.
func TestUnpackPartInTheWay(t *testing.T) {
	dst := filepath.Join(t.TempDir(), "dst")
	program.WriteFile(t, dst+".part", []byte("mine"), 0o600)
	p := program.Zcp(t, "recv", "127.0.0.1:0", "-l", dst+"/").Start()
	if p.Ends(1).Says("dst.part exists and is not a directory"); strings.Contains(p.ErrOut.String(), "listening") {
		t.Errorf("said %q", p.ErrOut)
	}
	program.Holds(t, dst+".part", []byte("mine"))
}

// A user without rights unpacks directories that not even he may write to.
func TestUnpackReadOnlyDirs(t *testing.T) {
	program.NeedTool(t, "tar")
	p, dir := asNobody(t, "cat", "-o", "dst/", "t.tar")
	must(t, os.MkdirAll(filepath.Join(dir, "src/d/e"), 0o755), os.WriteFile(filepath.Join(dir, "src/d/e/f"), []byte("f"), 0o444),
		os.Chmod(filepath.Join(dir, "src/d/e"), 0o555), os.Chmod(filepath.Join(dir, "src/d"), 0o555), os.Chmod(dir, 0o777))
	pack := exec.Command("tar", "-C", filepath.Join(dir, "src"), "-cf", filepath.Join(dir, "t.tar"), ".")
	must(t, pack.Run(), os.Chmod(filepath.Join(dir, "t.tar"), 0o644))
	p.Run(0)
	program.Holds(t, filepath.Join(dir, "dst/d/e/f"), []byte("f"))
	if fi, err := os.Stat(filepath.Join(dir, "dst/d")); err != nil || fi.Mode().Perm() != 0o555 {
		t.Errorf("%v, %v", fi, err)
	}
}
