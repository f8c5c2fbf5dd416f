package e2e

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/zcp-go/zcp/cmd/e2e/program"
)

func must(t testing.TB, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

// nastyTree makes a directory with every kind of file that any user may make.
func nastyTree(t testing.TB) string {
	dir := filepath.Join(t.TempDir(), "src")
	in := func(name string) string { return filepath.Join(dir, name) }
	long := strings.Repeat("x", 255)
	must(t, os.MkdirAll(in("d/empty"), 0o755), os.Mkdir(in(long), 0o755))
	for i, name := range []string{"new\nline", "--dash", "\xff\xfelatin", long + "/" + strings.Repeat("y", 255), "-", "ünï", "d/ sp "} {
		program.WriteFile(t, in(name), program.Noise(i*1000, uint64(i)), 0o644)
	}
	for _, n := range []int{0, 1, 511, 512, 513, 64 << 10, 64<<10 + 1, 3<<20 + 1} {
		program.WriteFile(t, in(fmt.Sprintf("size %d", n)), program.Noise(n, 9), 0o644)
	}
	for _, mode := range []uint32{0o400, 0o600, 0o777, 0o1755, 0o2755, 0o4755, 0o7777} {
		program.WriteFile(t, in(fmt.Sprintf("mode %o", mode)), []byte("m"), 0o600)
		must(t, unix.Chmod(in(fmt.Sprintf("mode %o", mode)), mode))
	}
	must(t, os.Symlink("-", in("link")), os.Symlink("/nowhere/"+long, in("dangling")),
		os.Link(in("-"), in("d/hard")), os.Link(in("size 3145729"), in("d/large hard")), unix.Mkfifo(in("fifo"), 0o640))
	holes := filepath.Join(dir, "holes")
	f, err := os.Create(holes)
	must(t, err)
	for _, at := range []int64{1 << 20, 5<<20 + 4096} {
		_, err := f.WriteAt(program.Noise(5000, 3), at)
		must(t, err)
	}
	must(t, f.Truncate(9<<20+1), f.Close())
	must(t, os.WriteFile(in("all hole"), nil, 0o644), os.Truncate(in("all hole"), 64<<20))
	for i, name := range []string{"d", "-", "ünï"} {
		at := time.Unix(int64(i)*1e9, 123456789)
		must(t, os.Chtimes(in(name), at, at))
	}
	must(t, os.Chtimes(in("--dash"), time.Unix(-1e9, 5), time.Unix(-1e9, 987654321)), os.Chmod(in("d"), 0o555))
	t.Cleanup(func() { os.Chmod(in("d"), 0o755) }) // so that it can be removed
	return dir
}

// list describes a tree: a line for each name.
func list(t testing.TB, dir string) (lines []string) {
	inodes := map[uint64]string{}
	must(t, filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
		var st unix.Stat_t
		if err = errors.Join(err, unix.Lstat(path, &st)); err != nil {
			return err
		}
		rel, _ := filepath.Rel(dir, path)
		line := fmt.Sprintf("%q %o %d:%d %d", rel, st.Mode, st.Uid, st.Gid, st.Mtim.Nano())
		switch st.Mode & unix.S_IFMT {
		case unix.S_IFREG:
			size, sum := hash(t, path)
			first := inodes[st.Ino]
			if first == "" {
				inodes[st.Ino] = rel
			}
			line += fmt.Sprintf(" %d bytes %x links %d first %q holes %v", size, sum, st.Nlink, first, st.Blocks*512 < st.Size)
		case unix.S_IFLNK:
			to, err := os.Readlink(path)
			must(t, err)
			line += " -> " + to
		}
		lines = append(lines, line)
		return nil
	}))
	return lines
}

var hashSeed = maphash.MakeSeed()

// hash reads a file: how many bytes it has, and a sum of them that is the same in this process.
func hash(t testing.TB, name string) (n int64, sum uint64) {
	f, err := os.Open(name)
	must(t, err)
	defer f.Close()
	var h maphash.Hash
	h.SetSeed(hashSeed)
	n, err = io.CopyBuffer(&h, struct{ io.Reader }{f}, make([]byte, 256<<10))
	must(t, err)
	return n, h.Sum64()
}

func sameTree(t testing.TB, want, got []string) {
	t.Helper()
	for _, line := range want {
		if !slices.Contains(got, line) {
			t.Errorf("missing: %s", line)
		}
	}
	for _, line := range got {
		if !slices.Contains(want, line) {
			t.Errorf("extra:   %s", line)
		}
	}
}

// What GNU tar unpacks from a sender is the tree, in every detail.
func TestSendTreeToTar(t *testing.T) {
	t.Parallel()
	program.NeedTool(t, "tar")
	program.InModes(t, func(t *testing.T, m program.Mode) {
		src, dst := nastyTree(t), t.TempDir()
		p := m.Zcp(t, "send", "--special", src+"/", "127.0.0.1:0", "-l").Start()
		c := program.Dial(t, p)
		unpack := exec.Command("tar", "-x", "-p", "-f", "-", "-C", dst)
		unpack.Stdin = c
		out, err := unpack.CombinedOutput()
		c.Close()
		if err != nil {
			t.Errorf("tar: %v: %s", err, out)
		}
		p.Ends(0)
		sameTree(t, list(t, src), list(t, dst))
		must(t, os.Chmod(filepath.Join(dst, "d"), 0o755))
	})
}

// Names, types and contents are what other programs read as well.
func TestCatTreeToOthers(t *testing.T) {
	t.Parallel()
	src, dir := nastyTree(t), t.TempDir()
	file := filepath.Join(dir, "t.tar")
	program.Zcp(t, "cat", "-o", file, src+"/").Run(0)
	for _, unpack := range [][]string{{"bsdtar", "-xf", file}, {"busybox", "tar", "-xf", file}, {"python3", "-m", "tarfile", "-e", file, "."}} {
		t.Run(unpack[0], func(t *testing.T) {
			program.NeedTool(t, unpack[0])
			dst := t.TempDir()
			c := exec.Command(unpack[0], unpack[1:]...)
			c.Dir = dst
			if out, err := c.CombinedOutput(); err != nil && unpack[0] != "python3" { // which refuses the dangling link
				t.Errorf("%v: %s", err, out)
			}
			for _, name := range []string{"-", "--dash", "new\nline", "size 65537", "d/large hard", "d/ sp ", "\xff\xfelatin"} {
				want, err := os.ReadFile(filepath.Join(src, name))
				must(t, err)
				if unpack[0] == "python3" && name == "\xff\xfelatin" {
					continue // it decodes names
				}
				program.Holds(t, filepath.Join(dst, name), want)
			}
			os.Chmod(filepath.Join(dst, "d"), 0o755) // so that it can be removed
		})
	}
}

// names lists the members of a stream.
func names(t testing.TB, stream io.Reader) (all []string) {
	for r := tar.NewReader(stream); ; {
		h, err := r.Next()
		if err == io.EOF {
			slices.Sort(all)
			return all
		}
		must(t, err)
		all = append(all, h.Name)
	}
}

// What is left out, and under what name the rest is sent.
func TestTreeMembers(t *testing.T) {
	dir := t.TempDir()
	must(t, os.MkdirAll(filepath.Join(dir, "a/sub/deep"), 0o755), unix.Mkfifo(filepath.Join(dir, "a/fifo"), 0o600))
	for _, name := range []string{"a/f.o", "a/sub/f.o", "a/sub/g", "b"} {
		program.WriteFile(t, filepath.Join(dir, name), []byte(name), 0o600)
	}
	for _, tc := range []struct{ args, want string }{
		{"a/", "./ ./f.o ./sub/ ./sub/deep/ ./sub/f.o ./sub/g"},
		{"--special a/", "./ ./f.o ./fifo ./sub/ ./sub/deep/ ./sub/f.o ./sub/g"},
		{"--exclude *.o a/", "./ ./sub/ ./sub/deep/ ./sub/g"},
		{"--exclude sub/*.o --exclude deep a/", "./ ./f.o ./sub/ ./sub/g"},
		{"--exclude=sub a/", "./ ./f.o"},
		{"--tar a b", "a/ a/f.o a/sub/ a/sub/deep/ a/sub/f.o a/sub/g b"},
		{"--tar a/sub", "sub/ sub/deep/ sub/f.o sub/g"},
		{"-x a/", "./ ./f.o ./sub/ ./sub/deep/ ./sub/f.o ./sub/g"},
	} {
		p := program.Zcp(t, append([]string{"cat"}, strings.Fields(tc.args)...)...)
		p.Dir = dir
		var out bytes.Buffer
		p.Stdout = &out
		p.Run(0)
		if got := strings.Join(names(t, &out), " "); got != tc.want {
			t.Errorf("%s: %s, want %s", tc.args, got, tc.want)
		}
	}
}

// The output inside of the source is left out, and said.
func TestTreeIntoItself(t *testing.T) {
	dir := t.TempDir()
	out := filepath.Join(dir, "out.tar")
	program.WriteFile(t, filepath.Join(dir, "f"), []byte("f"), 0o600)
	p := program.Zcp(t, "cat", "-o", out, dir+"/").Run(0)
	p.Says("out.tar: it is the destination, left out")
	f, err := os.Open(out)
	must(t, err)
	defer f.Close()
	if got := names(t, f); !slices.Equal(got, []string{"./", "./f"}) {
		t.Errorf("%q", got)
	}
}

// An unreadable file is named, the rest arrives, and the status is 1.
func TestTreeUnreadable(t *testing.T) {
	p, dir := asNobody(t, "cat", "src/")
	src := filepath.Join(dir, "src")
	must(t, os.Mkdir(src, 0o755))
	program.WriteFile(t, filepath.Join(src, "closed"), []byte("c"), 0o600)
	program.WriteFile(t, filepath.Join(src, "open"), []byte("o"), 0o644)
	must(t, os.Chmod(src, 0o755), os.Chmod(dir, 0o755))
	var out bytes.Buffer
	p.Stdout = &out
	p.Run(1)
	p.Says("./closed: permission denied")
	if got := names(t, &out); !slices.Equal(got, []string{"./", "./open"}) {
		t.Errorf("%q", got)
	}
}

// A file that shrinks while it is sent is made up for with zeros: the rest of the stream is in
// its place, and the status is 6.
func TestTreeShrinks(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	large := filepath.Join(dir, "large")
	program.WriteFile(t, large, nil, 0o600)
	must(t, os.WriteFile(large, program.Noise(64<<20, 4), 0o600))
	p := program.Zcp(t, "send", "-C", dir+"/", ":0").Start() // by reference, a lease would keep the writer waiting
	c := program.Dial(t, p)
	first := program.ReadN(t, c, 1<<20)
	must(t, os.Truncate(large, 2<<20))
	got := names(t, io.MultiReader(bytes.NewReader(first), c))
	_, err := io.Copy(io.Discard, c) // what follows the end of the archive
	must(t, err, c.Close())
	p.Ends(6).Says("./large: became shorter while it was being sent")
	if !slices.Equal(got, []string{"./", "./large"}) {
		t.Errorf("%q", got)
	}
}

// Extended attributes are sent only where they are wanted.
func TestTreeXattrs(t *testing.T) {
	dir := t.TempDir()
	program.WriteFile(t, filepath.Join(dir, "f"), []byte("f"), 0o600)
	if err := unix.Setxattr(filepath.Join(dir, "f"), "user.zcp", []byte("a\x00=\nb"), 0); err != nil {
		t.Skip("NOT TESTED: no extended attributes here:", err)
	}
	for _, with := range []bool{false, true} {
		args := []string{"cat", dir + "/"}
		if with {
			args = append(args, "--xattrs")
		}
		p := program.Zcp(t, args...)
		var out bytes.Buffer
		p.Stdout = &out
		p.Run(0)
		r := tar.NewReader(&out)
		_, err := r.Next()
		must(t, err)
		h, err := r.Next()
		must(t, err)
		if got := h.PAXRecords["SCHILY.xattr.user.zcp"]; (got == "a\x00=\nb") != with {
			t.Errorf("with %v: %q", with, got)
		}
	}
}

// At the other end, too, extended attributes are set only where they are wanted, and those that
// give rights only with --special.
func TestUnpackXattrs(t *testing.T) {
	src := t.TempDir()
	must(t, os.Mkdir(filepath.Join(src, "d"), 0o755))
	program.WriteFile(t, filepath.Join(src, "d", "f"), []byte("f"), 0o600)
	// VFS_CAP_REVISION_2 with CAP_NET_BIND_SERVICE permitted (linux/capability.h).
	attrs := map[string]string{"user.zcp": "a\x00b", "security.capability": "\x00\x00\x00\x02\x00\x04\x00\x00" + strings.Repeat("\x00", 12)}
	for _, name := range []string{"d", "d/f"} {
		if err := unix.Setxattr(filepath.Join(src, name), "user.zcp", []byte(attrs["user.zcp"]), 0); err != nil {
			t.Skip("NOT TESTED: no extended attributes here:", err)
		}
	}
	capable := unix.Setxattr(filepath.Join(src, "d/f"), "security.capability", []byte(attrs["security.capability"]), 0) == nil
	for _, flags := range [][]string{nil, {"--xattrs"}, {"--xattrs", "--special"}} {
		dst := filepath.Join(t.TempDir(), "dst")
		p := program.Zcp(t, append([]string{"recv", "-v", "127.0.0.1:0", "-l", dst + "/"}, flags...)...).Start()
		program.Zcp(t, "send", "--xattrs", "--special", src+"/", "127.0.0.1:"+p.Port()).Run(0)
		p.Ends(0)
		for _, at := range []struct {
			file, name string
			want       bool
		}{{"d", "user.zcp", len(flags) > 0}, {"d/f", "user.zcp", len(flags) > 0}, {"d/f", "security.capability", capable && len(flags) == 2}} {
			b := make([]byte, 100)
			n, err := unix.Getxattr(filepath.Join(dst, at.file), at.name, b)
			if got := err == nil && string(b[:n]) == attrs[at.name]; got != at.want {
				t.Errorf("%q, %s of %s: %q, %v", flags, at.name, at.file, b[:max(n, 0)], err)
			}
		}
		if capable && len(flags) == 1 {
			p.Says(`d/f: security.capability dropped \(--special keeps it\)`)
		}
	}
}

// The events of a tree have the number of files and, when the walk beside the sender has ended,
// the size of the stream: at the end it is what was sent.
func TestTreeProgress(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for i := range 200 {
		program.WriteFile(t, filepath.Join(dir, fmt.Sprint(i)), program.Noise(20_000, uint64(i)), 0o600)
	}
	p := program.Zcp(t, "send", "--json", "-i", "20ms", "-L", "8M", dir+"/", ":0").Start()
	c, err := net.Dial("tcp", "127.0.0.1:"+p.Says(`"event":"listening".*"port":(\d+)`)[1])
	must(t, err)
	got, err := io.Copy(io.Discard, c)
	must(t, err, c.Close())
	p.Ends(0)
	type event struct {
		Event              string
		Bytes, Size, Files int64
	}
	var last event
	for line := range strings.Lines(p.ErrOut.String()) {
		var e event
		must(t, json.Unmarshal([]byte(line), &e))
		switch {
		case e.Event == "progress" && e.Size > 0:
			if last.Files > e.Files || e.Bytes > e.Size || e.Size > got+got/100 || e.Size < got-got/100 {
				t.Errorf("%+v after %+v, of a stream of %d bytes", e, last, got)
			}
			last = e
		case e.Event == "end" && (e.Files != 200 || e.Bytes != got):
			t.Errorf("%+v, the stream had %d bytes", e, got)
		}
	}
	if last.Size == 0 || last.Files == 0 {
		t.Errorf("no event had a size and files: %s", p.ErrOut)
	}
	p = program.Zcp(t, "cat", "-n", dir+"/").Run(0)
	if lines := strings.Fields(p.ErrOut.String()); lines[len(lines)-1] != "100" {
		t.Errorf("-n ends with %q", lines)
	}
}
