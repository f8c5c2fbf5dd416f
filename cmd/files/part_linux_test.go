package files

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/zcp-go/zcp/cmd/exit"
)

// look plans a write to path and fails the test where that is refused.
func look(t *testing.T, path string, o Options) *Plan {
	t.Helper()
	p, err := Look(Name{Path: path, Text: path}, o, false)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// begin plans and opens.
func begin(t *testing.T, path string, o Options) *Output {
	t.Helper()
	out, err := look(t, path, o).Open(context.Background(), Idle)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func write(t *testing.T, out *Output, text string) {
	t.Helper()
	if n, err := unix.Write(out.End.FD(), []byte(text)); n != len(text) || err != nil {
		t.Fatal(n, err)
	}
}

func create(t *testing.T, path, text string, mode os.FileMode) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil { // whatever the umask
		t.Fatal(err)
	}
}

func holds(t *testing.T, path, want string) {
	t.Helper()
	if got, err := os.ReadFile(path); string(got) != want || err != nil {
		t.Errorf("%s holds %q, %v, want %q", path, got, err, want)
	}
}

func absent(t *testing.T, path string) {
	t.Helper()
	if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%s is there: %v", path, err)
	}
}

// refused checks the words of a refusal, which has its status already.
func refused(t *testing.T, err error, want string) {
	t.Helper()
	if _, ok := errors.AsType[*exit.Failure](err); !ok || !strings.Contains(err.Error(), want) {
		t.Errorf("%T %v, want a failure with %q", err, err, want)
	}
}

func TestNewFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "new")
	defer unix.Umask(unix.Umask(0o027))
	out := begin(t, path, Options{Sync: true})
	absent(t, path)
	write(t, out, "all of it")
	holds(t, path+".part", "all of it")
	if err := out.Commit(); err != nil {
		t.Fatal(err)
	}
	holds(t, path, "all of it")
	absent(t, path+".part")
	if fi, _ := os.Stat(path); fi.Mode().Perm() != 0o640 {
		t.Errorf("mode %v, want 0666 &^ umask", fi.Mode())
	}
}

// TestReplaced: what is there stays until the rename, and then its mode is that of the new
// one, which was not readable by others before.
func TestReplaced(t *testing.T) {
	path := filepath.Join(t.TempDir(), "old")
	create(t, path, "what was there", 0o754|os.ModeSetgid)
	out := begin(t, path, Options{})
	write(t, out, "new")
	holds(t, path, "what was there")
	if fi, _ := os.Stat(path + ".part"); fi.Mode().Perm() != 0o600 {
		t.Errorf("the .part has mode %v", fi.Mode())
	}
	if err := out.Commit(); err != nil {
		t.Fatal(err)
	}
	holds(t, path, "new")
	if fi, _ := os.Stat(path); fi.Mode() != 0o754|os.ModeSetgid {
		t.Errorf("mode %v", fi.Mode())
	}
}

// TestModeOfLateFile: the mode is that of the file that is replaced, not of the one that the
// plan saw.
func TestModeOfLateFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "late")
	out := begin(t, path, Options{})
	create(t, path, "late", 0o604)
	if err := out.Commit(); err != nil {
		t.Fatal(err)
	}
	if fi, _ := os.Stat(path); fi.Mode() != 0o604 || fi.Size() != 0 {
		t.Errorf("%v, %d bytes", fi.Mode(), fi.Size())
	}
}

func TestAbandon(t *testing.T) {
	path := filepath.Join(t.TempDir(), "dst")
	out := begin(t, path, Options{})
	if kept := out.Abandon(); kept != "" {
		t.Errorf("an empty one is kept: %s", kept)
	}
	absent(t, path+".part")
	out = begin(t, path, Options{})
	write(t, out, "half")
	if kept := out.Abandon(); kept != path+".part holds 4B" {
		t.Errorf("said %q", kept)
	}
	holds(t, path+".part", "half")
	absent(t, path)
	// an old .part that is not locked is replaced by a new file, not written over
	other := path + ".other"
	if err := os.Link(path+".part", other); err != nil {
		t.Fatal(err)
	}
	out = begin(t, path, Options{})
	write(t, out, "new")
	holds(t, path+".part", "new")
	holds(t, other, "half")
	out.Abandon()
}

func TestLocked(t *testing.T) {
	path := filepath.Join(t.TempDir(), "dst")
	plan := look(t, path, Options{})
	first := begin(t, path, Options{})
	_, err := plan.Open(context.Background(), Idle) // looked before the other opened
	refused(t, err, "another zcp is receiving into it")
	_, err = Look(Name{Path: path, Text: path}, Options{}, false)
	refused(t, err, "another zcp is receiving into it")
	write(t, first, "mine")
	if err := first.Commit(); err != nil {
		t.Fatal(err)
	}
	holds(t, path, "mine")
	begin(t, path, Options{}).Abandon() // the lock is gone with the file
}

// TestPartTaken: a .part that is removed or replaced meanwhile is not renamed.
func TestPartTaken(t *testing.T) {
	for _, replace := range []bool{false, true} {
		path := filepath.Join(t.TempDir(), "dst")
		out := begin(t, path, Options{})
		write(t, out, "mine")
		if err := os.Remove(path + ".part"); err != nil {
			t.Fatal(err)
		}
		if replace {
			create(t, path+".part", "another's", 0o600)
		}
		if err := out.Commit(); err == nil || !strings.Contains(err.Error(), "was removed or replaced by another process") {
			t.Errorf("replaced %v: %v", replace, err)
		}
		if kept := out.Abandon(); kept != "" {
			t.Errorf("replaced %v: kept %q", replace, kept)
		}
		absent(t, path)
		if replace {
			holds(t, path+".part", "another's")
		}
	}
}

// TestPartInTheWay: links are not followed and only regular files replaced.
func TestPartInTheWay(t *testing.T) {
	dir := t.TempDir()
	victim := filepath.Join(dir, "victim")
	create(t, victim, "untouched", 0o600)
	for name, make := range map[string]func(string) error{
		"link":     func(part string) error { return os.Symlink(victim, part) },
		"dangling": func(part string) error { return os.Symlink(filepath.Join(dir, "made"), part) },
		"folder":   func(part string) error { return os.Mkdir(part, 0o755) },
		"fifo":     func(part string) error { return unix.Mkfifo(part, 0o600) },
	} {
		path := filepath.Join(dir, name)
		plan := look(t, path, Options{})
		if err := make(path + ".part"); err != nil {
			t.Fatal(err)
		}
		want := name + ".part exists and is not a regular file"
		_, err := Look(Name{Path: path, Text: name}, Options{}, false)
		refused(t, err, "exists and is not a regular file")
		_, err = plan.Open(context.Background(), Idle)
		refused(t, err, want)
		absent(t, path)
	}
	holds(t, victim, "untouched")
	absent(t, filepath.Join(dir, "made"))
}

// TestLinks: the link stays, the file behind it is replaced, .part lies beside that.
func TestLinks(t *testing.T) {
	dir := t.TempDir()
	real := filepath.Join(dir, "real")
	if err := os.Mkdir(filepath.Join(dir, "sub"), 0o755); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(dir, "sub", "link")
	if err := errors.Join(os.Symlink("../again", link), os.Symlink("real", filepath.Join(dir, "again"))); err != nil {
		t.Fatal(err)
	}
	for range 2 { // real is made, then replaced
		out := begin(t, link, Options{})
		if _, err := os.Stat(real + ".part"); err != nil {
			t.Error(err)
		}
		write(t, out, "x")
		if err := out.Commit(); err != nil {
			t.Fatal(err)
		}
	}
	holds(t, real, "x")
	if fi, _ := os.Lstat(link); fi.Mode().Type() != os.ModeSymlink {
		t.Error("the link was replaced")
	}
	loop := filepath.Join(dir, "loop")
	if err := os.Symlink("loop", loop); err != nil {
		t.Fatal(err)
	}
	_, err := Look(Name{Path: loop, Text: "loop"}, Options{}, false)
	refused(t, err, "too many levels of symbolic links")
}

func TestNoClobber(t *testing.T) {
	path := filepath.Join(t.TempDir(), "dst")
	out := begin(t, path, Options{NoClobber: true})
	write(t, out, "mine")
	create(t, path, "came meanwhile", 0o600)
	if err := out.Commit(); !errors.Is(err, unix.EEXIST) {
		t.Errorf("it was clobbered: %v", err)
	}
	if kept := out.Abandon(); kept != path+".part holds 4B" {
		t.Errorf("kept %q", kept)
	}
	holds(t, path, "came meanwhile")
	_, err := Look(Name{Path: path, Text: "dst"}, Options{NoClobber: true}, false)
	refused(t, err, "dst: file exists")
	if exit.Hint(err) == "" {
		t.Error("no hint")
	}
}

func TestRefusedDestinations(t *testing.T) {
	dir := t.TempDir()
	for path, want := range map[string]string{
		dir:                                  "is a directory",
		filepath.Join(dir, "none") + "/":     "is a directory",
		filepath.Join(dir, "nowhere", "out"): "nowhere does not exist",
	} {
		_, err := Look(Name{Path: path, Text: path}, Options{}, false)
		refused(t, err, want)
	}
}

// TestMountPoint: rename(2) onto a mount point is EBUSY, so it is refused at once.
func TestMountPoint(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("NOT TESTED: only root may mount")
	}
	dir := t.TempDir()
	a, b := filepath.Join(dir, "a"), filepath.Join(dir, "b")
	create(t, a, "a", 0o600)
	create(t, b, "b", 0o600)
	if err := unix.Mount(a, b, "", unix.MS_BIND, ""); err != nil {
		t.Skip("NOT TESTED: mount: ", err)
	}
	defer func() {
		if err := unix.Unmount(b, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	}()
	_, err := Look(Name{Path: b, Text: "b"}, Options{}, false)
	refused(t, err, "b: cannot be written: it is a mount point")
	if hint := exit.Hint(err); hint != "to write it in place: zcp recv ... > b" {
		t.Errorf("the hint is %q", hint)
	}
	if _, err := Look(Name{Path: b, Text: "b"}, Options{}, true); err != nil {
		t.Errorf("in place: %v", err)
	}
}

func TestKeepsOld(t *testing.T) {
	path := filepath.Join(t.TempDir(), "dst")
	plan := look(t, path, Options{})
	if plan.KeepsOld() {
		t.Error("keeps what is not there")
	}
	create(t, path, "", 0o600)
	if plan.KeepsOld() {
		t.Error("keeps an empty file")
	}
	create(t, path, "x", 0o600)
	if !plan.KeepsOld() || look(t, path, Options{Append: true}).KeepsOld() {
		t.Error("keeps the wrong ones")
	}
}

// TestInPlace: -a and cat -o write the file itself.
func TestInPlace(t *testing.T) {
	path := filepath.Join(t.TempDir(), "dst")
	create(t, path, "old and long", 0o600)
	name := Name{Path: path, Text: path}
	for _, tc := range []struct {
		o    Options
		want string
	}{{Options{}, "new"}, {Options{Append: true}, "newnew"}} {
		plan, err := Look(name, tc.o, true)
		if err != nil {
			t.Fatal(err)
		}
		refusal := plan.RefuseSources([]Name{{Path: path + "x"}, name})
		if refusal == nil {
			t.Error("it may be its own source")
		}
		out, err := plan.Open(context.Background(), Idle)
		if err != nil {
			t.Fatal(err)
		}
		if err := out.Truncate(); err != nil {
			t.Fatal(err)
		}
		write(t, out, "new")
		absent(t, path+".part")
		if err := out.Commit(); err != nil {
			t.Fatal(err)
		}
		holds(t, path, tc.want)
	}
}

func TestNameSequence(t *testing.T) {
	dir := t.TempDir()
	create(t, filepath.Join(dir, "in-2.log"), "taken", 0o600)
	locked := begin(t, filepath.Join(dir, "in-3.log"), Options{})
	defer locked.Abandon()
	s := NameSequence{Pattern: Name{Path: filepath.Join(dir, "in-%d.log"), Text: "in-%d.log"}}
	for _, want := range []string{"in-1.log", "in-4.log", "in-5.log"} {
		name, plan, err := s.Next(Options{})
		if err != nil || name.Path != filepath.Join(dir, want) || name.Text != name.Path || !plan.options.NoClobber {
			t.Fatalf("%+v, %+v, %v, want %s", name, plan, err, want)
		}
		out, err := plan.Open(context.Background(), Idle)
		if err != nil {
			t.Fatal(err)
		}
		defer out.Abandon()
	}
	s.Pattern.Path = filepath.Join(dir, "nowhere", "%d")
	if _, _, err := s.Next(Options{}); err == nil {
		t.Error("a folder that is not there is not an error")
	}
}
