package tree

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/zcp-go/zcp/transfer"
)

// A bed has a directory to unpack into, and beside it what must not be touched.
type bed struct {
	dir, dst string
	before   string
}

func newBed(t testing.TB, existing bool) *bed {
	dir := t.TempDir()
	b := &bed{dir: dir, dst: filepath.Join(dir, "dst")}
	ok(t, os.Mkdir(filepath.Join(dir, "outside"), 0o750), os.WriteFile(filepath.Join(dir, "outside", "f"), []byte("secret"), 0o640),
		os.WriteFile(filepath.Join(dir, "g"), []byte("g"), 0o600))
	if existing {
		ok(t, os.Mkdir(b.dst, 0o755), os.Symlink("../outside", filepath.Join(b.dst, "old link")))
	}
	b.before = b.outside(t)
	return b
}

func ok(t testing.TB, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

// outside describes all that is not in dst: names, contents, modes, owners, links and times.
func (b *bed) outside(t testing.TB) (all string) {
	t.Helper()
	ok(t, filepath.Walk(b.dir, func(path string, fi os.FileInfo, err error) error {
		if err != nil || path == b.dir {
			return err
		}
		if path == b.dst || path == b.dst+".part" {
			return filepath.SkipDir
		}
		var st unix.Stat_t
		ok(t, unix.Lstat(path, &st))
		content, _ := os.ReadFile(path) // a directory has none
		all += fmt.Sprintf("%s %o %d:%d %d %d %q\n", path, st.Mode, st.Uid, st.Gid, st.Nlink, st.Mtim.Nano(), content)
		return nil
	}))
	return all
}

// unpack unpacks a stream into dst, and returns what was said of single members.
func (b *bed) unpack(t testing.TB, stream []byte) (said string, err error) {
	t.Helper()
	name := filepath.Join(t.TempDir(), "stream")
	ok(t, os.WriteFile(name, stream, 0o600))
	fd, err := unix.Open(name, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	ok(t, err)
	src, err := transfer.Own(fd)
	ok(t, err)
	defer src.Close()
	target, err := Look(b.dst+"/", "dst/", false)
	ok(t, err)
	u := &Unpacker{Transfer: &transfer.Transfer{}, Src: src, Fresh: target.Fresh(), Owners: os.Geteuid() == 0,
		Count: new(Count), Report: func(err error) { said += err.Error() + "\n" }, Detail: func(string) {}}
	if err := u.Begin(context.Background()); err != nil {
		return said, err
	}
	root, err := target.Open()
	ok(t, err)
	if err = u.Run(root); err == nil {
		err = target.Commit(false)
	} else {
		target.Abandon()
	}
	if after := b.outside(t); after != b.before {
		t.Errorf("outside of dst\n%sbecame\n%s", b.before, after)
	}
	return said, err
}

// A part is a member of a hostile stream.
type part struct {
	kind     byte
	name, to string
	body     string
}

// archive writes the stream of some members, with GNU's format for names that ustar has no place for.
func archive(t testing.TB, parts []part) []byte {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, p := range parts {
		ok(t, w.WriteHeader(&tar.Header{Typeflag: p.kind, Name: p.name, Linkname: p.to, Size: int64(len(p.body)), Mode: 0o6777,
			ModTime: time.Unix(1e9, 0), Uid: 12345, Gid: 12345, Devmajor: 1, Devminor: 3}))
		_, err := w.Write([]byte(p.body))
		ok(t, err)
	}
	ok(t, w.Close())
	return b.Bytes()
}

// corpus are hostile streams: what is refused of each, and the last member is always unpacked.
var corpus = map[string]struct {
	parts   []part
	refused string
}{
	"absolute":              {[]part{{tar.TypeReg, "/tmp/zcp-hostile", "", "x"}}, "an absolute name"},
	"dot dot":               {[]part{{tar.TypeReg, "../g", "", "x"}}, ".. in the name"},
	"dot dot inside":        {[]part{{tar.TypeReg, "a/../../g", "", "x"}}, ".. in the name"},
	"directory dot dot":     {[]part{{tar.TypeDir, "../outside/", "", ""}}, ".. in the name"},
	"through a link":        {[]part{{tar.TypeSymlink, "l", "../outside", ""}, {tar.TypeReg, "l/f", "", "x"}}, "path escapes"},
	"directory over a link": {[]part{{tar.TypeSymlink, "l", "../outside", ""}, {tar.TypeDir, "l/", "", ""}}, "path escapes"},
	"through an old link":   {[]part{{tar.TypeReg, "old link/f", "", "x"}}, ""},
	"through two links":     {[]part{{tar.TypeSymlink, "a", ".", ""}, {tar.TypeSymlink, "b", "a/..", ""}, {tar.TypeReg, "b/g", "", "x"}}, "path escapes"},
	"absolute link":         {[]part{{tar.TypeSymlink, "l", "/", ""}, {tar.TypeReg, "l/tmp/zcp-hostile", "", "x"}}, "path escapes"},
	"file over a link":      {[]part{{tar.TypeSymlink, "l", "../g", ""}, {tar.TypeReg, "l", "", "x"}}, ""},
	"hard link dot dot":     {[]part{{tar.TypeLink, "h", "../g", ""}, {tar.TypeReg, "h", "", "x"}}, "hard link to ../g"},
	"hard link absolute":    {[]part{{tar.TypeLink, "h", "/etc/passwd", ""}}, "hard link to /etc/passwd"},
	"hard link by a link":   {[]part{{tar.TypeSymlink, "l", "../outside", ""}, {tar.TypeLink, "h", "l/f", ""}}, "path escapes"},
	"hard link to a link":   {[]part{{tar.TypeSymlink, "l", "../g", ""}, {tar.TypeLink, "h", "l", ""}, {tar.TypeReg, "h", "", "x"}}, ""},
	"device":                {[]part{{tar.TypeChar, "null", "", ""}}, "--special"},
	"fifo":                  {[]part{{tar.TypeFifo, "p", "", ""}}, "--special"},
	"long name":             {[]part{{tar.TypeReg, strings.Repeat("a/", 3000) + "a", "", ""}}, "4,096 bytes"},
	"long component":        {[]part{{tar.TypeReg, strings.Repeat("a", 256), "", "x"}}, "file name too long"},
	"file as directory":     {[]part{{tar.TypeReg, "f", "", "x"}, {tar.TypeReg, "f/g", "", "x"}}, "not a directory"},
	"directory as file":     {[]part{{tar.TypeDir, "d/", "", ""}, {tar.TypeReg, "d", "", "x"}}, "d: "},
	"dst itself as a file":  {[]part{{tar.TypeSymlink, "./", "../outside", ""}}, "the directory itself"},
	"unknown type":          {[]part{{'Z', "z", "", ""}}, "unknown type"},
}

// TestHostile unpacks the corpus, into a new directory and into one that exists. What is refused
// is named, nothing outside of dst is touched, and the rest is unpacked.
func TestHostile(t *testing.T) {
	for name, tc := range corpus {
		for _, existing := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, existing %v", name, existing), func(t *testing.T) {
				b := newBed(t, existing)
				said, err := b.unpack(t, archive(t, append(tc.parts, part{tar.TypeReg, "last", "", "last"})))
				if err != nil {
					t.Fatal(err)
				}
				if existing && name == "through an old link" {
					tc.refused = "path escapes"
				}
				if tc.refused == "" && said != "" || !strings.Contains(said, tc.refused) {
					t.Errorf("said %q, want %q", said, tc.refused)
				}
				if got, err := os.ReadFile(filepath.Join(b.dst, "last")); string(got) != "last" {
					t.Errorf("the rest: %q, %v", got, err)
				}
				if _, err := os.Lstat("/tmp/zcp-hostile"); err == nil {
					t.Error("/tmp was written to")
				}
				for _, left := range []string{".part", "/.zcp-*"} {
					if found, _ := filepath.Glob(b.dst + left); len(found) > 0 {
						t.Errorf("left: %q", found)
					}
				}
			})
		}
	}
}

// TestSetuid: what runs as another user is not kept without being asked for.
func TestSetuid(t *testing.T) {
	b := newBed(t, false)
	_, err := b.unpack(t, archive(t, []part{{tar.TypeReg, "f", "", "x"}, {tar.TypeDir, "d/", "", ""}}))
	ok(t, err)
	for _, name := range []string{"f", "d"} {
		var st unix.Stat_t
		ok(t, unix.Lstat(filepath.Join(b.dst, name), &st))
		if st.Mode&0o7777 != 0o777 || st.Mtim.Sec != 1e9 {
			t.Errorf("%s: mode %o, time %d", name, st.Mode, st.Mtim.Sec)
		}
	}
}

// TestTruncated cuts a stream at every block: each cut is told from the whole.
func TestTruncated(t *testing.T) {
	whole := archive(t, []part{{tar.TypeReg, "a", "", strings.Repeat("a", 700)}, {tar.TypeReg, "b", "", "b"}})
	for n := blockSize; n <= len(whole)-2*blockSize; n += blockSize / 2 {
		b := newBed(t, false)
		if _, err := b.unpack(t, whole[:n]); err == nil || !strings.Contains(err.Error(), "ended early") {
			t.Errorf("%d of %d bytes: %v", n, len(whole), err)
		}
		if _, err := os.Lstat(b.dst); err == nil {
			t.Errorf("%d bytes: dst has its name", n)
		}
	}
}

// TestPartIsALink: what lies where dst.part is to be made is never followed.
func TestPartIsALink(t *testing.T) {
	b := newBed(t, false)
	ok(t, os.Symlink("outside", b.dst+".part"))
	_, err := b.unpack(t, archive(t, []part{{tar.TypeReg, "f", "", "new"}}))
	ok(t, err)
}

// TestSwapped has another process exchange a directory for a link out of dst, again and again,
// while files are unpacked into it.
func TestSwapped(t *testing.T) {
	b := newBed(t, true)
	ok(t, os.Mkdir(filepath.Join(b.dst, "d"), 0o755), os.Symlink("../outside", filepath.Join(b.dst, "evil")))
	parts := []part{}
	for i := range 2000 {
		parts = append(parts, part{tar.TypeReg, fmt.Sprintf("d/%d", i), "", "x"}, part{tar.TypeReg, fmt.Sprintf("e/%d", i), "", "x"},
			part{tar.TypeDir, "d/", "", ""})
	}
	stop, stopped := make(chan struct{}), make(chan int)
	go func() {
		for n := 0; ; n++ {
			select {
			case <-stop:
				stopped <- n
				return
			default:
				// RENAME_EXCHANGE fails only where the unpacker has replaced one of the two.
				_ = unix.Renameat2(unix.AT_FDCWD, filepath.Join(b.dst, "d"), unix.AT_FDCWD, filepath.Join(b.dst, "evil"), unix.RENAME_EXCHANGE)
			}
		}
	}()
	_, err := b.unpack(t, archive(t, parts))
	close(stop)
	if n := <-stopped; err != nil || n < 100 {
		t.Errorf("%v, exchanged %d times", err, n)
	}
}

// FuzzUnpack unpacks anything: nothing outside of dst is touched.
func FuzzUnpack(f *testing.F) {
	for _, tc := range corpus {
		f.Add(archive(f, tc.parts))
	}
	f.Fuzz(func(t *testing.T, stream []byte) {
		b := newBed(t, true)
		_, _ = b.unpack(t, stream) // an error is as good as none
	})
}
