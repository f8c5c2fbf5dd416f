package e2e

import (
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/zcp-go/zcp/cmd/e2e/program"
)

// stores connects to a recv, sends it content, and wants dst to hold that in the end.
func stores(t testing.TB, p *program.Process, dst, content string) {
	t.Helper()
	c := program.Dial(t, p)
	program.Write(t, c, []byte(content))
	c.CloseWrite()
	p.Ends(0)
	program.Holds(t, dst, []byte(content))
}

// What is on the disk while bytes arrive, and who may read it: nothing under DST's name,
// and nothing of a private file in a public one.
func TestPartWhileReceiving(t *testing.T) {
	for _, old := range []os.FileMode{0, 0o600, 0o664} {
		t.Run(fmt.Sprintf("old %o", old), func(t *testing.T) {
			t.Parallel()
			dst := filepath.Join(t.TempDir(), "out")
			if old != 0 {
				program.WriteFile(t, dst, []byte("old"), old)
			}
			p := program.Zcp(t, "recv", ":0", dst).Start()
			p.Port()
			program.Absent(t, dst+".part") // opened only when a connection is there
			c := program.Dial(t, p)
			program.Write(t, c, program.Noise(100000, 2))
			program.AwaitSize(t, dst+".part", 100000)
			st, err := os.Stat(dst + ".part")
			if err != nil {
				t.Fatal(err)
			}
			if old == 0 {
				program.Absent(t, dst)
			} else {
				program.Holds(t, dst, []byte("old"))
				if st.Mode().Perm() != 0o600 {
					t.Errorf("before it is complete the file has mode %o", st.Mode().Perm())
				}
			}
			c.CloseWrite()
			p.Ends(0)
			program.Holds(t, dst, program.Noise(100000, 2))
			program.Absent(t, dst+".part")
			if st, err := os.Stat(dst); err != nil || old != 0 && st.Mode().Perm() != old {
				t.Errorf("mode %v instead of %o (%v)", st.Mode(), old, err)
			}
		})
	}
}

// The owner of what is replaced stays the owner, and the umask is for new files only.
func TestOwnerAndUmask(t *testing.T) {
	dir := t.TempDir()
	p := program.Command(t, "sh", "-c", `umask 027; exec "$0" "$@"`, program.Path(t), "recv", ":0", filepath.Join(dir, "new")).Start()
	program.Dial(t, p).CloseWrite()
	p.Ends(0)
	if st, err := os.Stat(filepath.Join(dir, "new")); err != nil || st.Mode().Perm() != 0o640 {
		t.Errorf("a new file under umask 027: %v, %v", st.Mode(), err)
	}
	program.NeedRoot(t)
	old := filepath.Join(dir, "old")
	program.WriteFile(t, old, []byte("old"), 0o644)
	for _, err := range []error{os.Chown(old, 1234, 5678), unix.Chmod(old, 0o4751)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	p = program.Zcp(t, "recv", ":0", old).Start()
	stores(t, p, old, "new")
	var st unix.Stat_t
	if err := unix.Stat(old, &st); err != nil || st.Uid != 1234 || st.Gid != 5678 || st.Mode&0o7777 != 0o4751 {
		t.Errorf("owner %d:%d mode %o, %v", st.Uid, st.Gid, st.Mode, err)
	}
}

// A user who may not give a file away keeps it, and then it runs as no other user: without the
// setuid bit, and without the setgid bit where he is not in the group.
func TestOwnerWithoutRights(t *testing.T) {
	for _, c := range []struct {
		groups []uint32
		gid    uint32
		mode   uint32
	}{{nil, 65534, 0o751}, {[]uint32{5678}, 5678, 0o2751}} {
		p, dir := asNobody(t, "recv", ":0", "out")
		p.SysProcAttr.Credential.Groups = c.groups
		out := filepath.Join(dir, "out")
		program.WriteFile(t, out, []byte("old"), 0o644)
		for _, err := range []error{os.Chown(out, 1234, 5678), unix.Chmod(out, 0o6751), os.Chmod(dir, 0o777)} {
			if err != nil {
				t.Fatal(err)
			}
		}
		p.Start()
		stores(t, p, out, "new")
		var st unix.Stat_t
		if err := unix.Stat(out, &st); err != nil || st.Uid != 65534 || st.Gid != c.gid || st.Mode&0o7777 != c.mode {
			t.Errorf("groups %v: owner %d:%d mode %o, %v", c.groups, st.Uid, st.Gid, st.Mode, err)
		}
	}
}

// What DST holds counts when the connection ends, not when the wait for it began.
func TestDestAppearsMeanwhile(t *testing.T) {
	dst := filepath.Join(t.TempDir(), "out")
	p := program.Zcp(t, "recv", ":0", dst).Start()
	c := program.Dial(t, p)
	program.WriteFile(t, dst, []byte("precious"), 0o640)
	c.CloseWrite()
	p.Ends(3)
	program.Holds(t, dst, []byte("precious"))

	p = program.Zcp(t, "recv", ":0", dst).Start()
	p.Port()
	if err := os.Chmod(dst, 0o600); err != nil {
		t.Fatal(err)
	}
	stores(t, p, dst, "secret")
	if st, err := os.Stat(dst); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", st.Mode(), err)
	}
}

// asNobody makes a process run as a user without rights, from a place that user can
// reach, and returns a folder of that user's.
func asNobody(t testing.TB, args ...string) (*program.Process, string) {
	t.Helper()
	program.NeedRoot(t)
	dir, err := os.MkdirTemp("", "zcp-nobody")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	bin, err := os.ReadFile(program.Path(t))
	if err != nil {
		t.Fatal(err)
	}
	program.WriteFile(t, filepath.Join(dir, "zcp"), bin, 0o755)
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	p := program.Command(t, filepath.Join(dir, "zcp"), args...)
	p.Dir = dir
	p.SysProcAttr.Credential = &syscall.Credential{Uid: 65534, Gid: 65534}
	return p, dir
}

// No right to create .part: said before a peer can connect, with the way around it.
func TestNoRightToCreate(t *testing.T) {
	p, dir := asNobody(t, "recv", ":0", "out")
	program.WriteFile(t, filepath.Join(dir, "out"), []byte("old"), 0o666)
	p.Run(1)
	want := "zcp: out: cannot be written: permission denied\nzcp: to write it in place: zcp recv ... > out\n"
	if p.ErrOut.String() != want {
		t.Errorf("said %q", p.ErrOut)
	}
	// In place it can be written: the hint is right.
	p, _ = asNobody(t, "recv", ":0")
	out, err := os.OpenFile(filepath.Join(dir, "out"), os.O_WRONLY|os.O_TRUNC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	p.Stdout = out
	p.Start()
	stores(t, p, filepath.Join(dir, "out"), "new")
	// A .part of another user's in a folder where every user may write.
	p, dir = asNobody(t, "recv", ":0", "out")
	if err := unix.Chmod(dir, 0o1777); err != nil {
		t.Fatal(err)
	}
	program.WriteFile(t, filepath.Join(dir, "out.part"), []byte("mine"), 0o644)
	p.Run(1)
	if !strings.HasPrefix(p.ErrOut.String(), "zcp: out: out.part: permission denied\n") {
		t.Errorf("said %q", p.ErrOut)
	}
	program.Holds(t, filepath.Join(dir, "out.part"), []byte("mine"))
	p, _ = asNobody(t, "cat", "/etc/shadow", "/dev/null")
	p.Run(1)
	if p.ErrOut.String() != "zcp: /etc/shadow: permission denied\n" {
		t.Errorf("said %q", p.ErrOut)
	}
}

// Two receivers for one DST that both listened before the other had a connection: the second
// one is refused, the first one is not disturbed.
func TestTwoReceivers(t *testing.T) {
	dst := filepath.Join(t.TempDir(), "out")
	first, second := program.Zcp(t, "recv", ":0", dst).Start(), program.Zcp(t, "recv", ":0", dst).Start()
	port := second.Port()
	c := program.Dial(t, first)
	program.Write(t, c, []byte("on"))
	program.AwaitSize(t, dst+".part", 2)
	if c, err := net.Dial("tcp", "127.0.0.1:"+port); err == nil { // the reset may come before Dial is done
		program.WantReset(t, c)
		c.Close()
	}
	second.Ends(1)
	second.Says(`\nzcp: ` + dst + `: another zcp is receiving into it\n$`)
	program.Write(t, c, []byte("e"))
	c.CloseWrite()
	first.Ends(0)
	program.Holds(t, dst, []byte("one"))
}

// Every byte is in and the last step fails: the bytes are kept and the sender is told.
func TestRenameFails(t *testing.T) {
	dst := filepath.Join(t.TempDir(), "out")
	p := program.Zcp(t, "recv", ":0", dst).Start()
	c := program.Dial(t, p)
	program.Write(t, c, []byte("bytes"))
	program.AwaitSize(t, dst+".part", 5)
	if err := os.Mkdir(dst, 0o755); err != nil {
		t.Fatal(err)
	}
	c.CloseWrite()
	p.Ends(1)
	want := fmt.Sprintf("zcp: %[1]s: cannot rename %[1]s.part: is a directory after 5B; %[1]s.part holds 5B\n", dst)
	if !strings.HasSuffix(p.ErrOut.String(), want) {
		t.Errorf("said %q", p.ErrOut)
	}
	program.Holds(t, dst+".part", []byte("bytes"))
	program.WantReset(t, c)
}

// A mount point cannot be renamed onto (containers mount single files).
func TestMountPoint(t *testing.T) {
	program.NeedTool(t, "mount", "unshare")
	if out, err := exec.Command("unshare", "--mount", "true").CombinedOutput(); err != nil {
		t.Skipf("NOT TESTED: unshare --mount: %v %s", err, out)
	}
	dir := t.TempDir()
	program.WriteFile(t, filepath.Join(dir, "real"), []byte("real"), 0o644)
	program.WriteFile(t, filepath.Join(dir, "dst"), nil, 0o644)
	p := program.Command(t, "sh", "-c", `mount --bind real dst && exec zcp recv :0 dst`)
	p.Dir = dir
	p.SysProcAttr.Unshareflags = syscall.CLONE_NEWNS
	p.Run(1)
	want := "zcp: dst: cannot be written: it is a mount point\nzcp: to write it in place: zcp recv ... > dst\n"
	if p.ErrOut.String() != want {
		t.Errorf("said %q", p.ErrOut)
	}
	program.Absent(t, filepath.Join(dir, "dst.part"))
}

// Another process takes .part away, or puts something else in its place: DST must not become
// what zcp has not written.
func TestPartTakenAway(t *testing.T) {
	for name, meddle := range map[string]func(part string) error{
		"removed":  os.Remove,
		"replaced": func(part string) error { os.Remove(part); return os.WriteFile(part, []byte("foreign"), 0o666) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dst := filepath.Join(t.TempDir(), "out")
			program.WriteFile(t, dst, []byte("old"), 0o644)
			p := program.Zcp(t, "recv", ":0", dst).Start()
			c := program.Dial(t, p)
			program.Write(t, c, []byte("new"))
			program.AwaitSize(t, dst+".part", 3)
			if err := meddle(dst + ".part"); err != nil {
				t.Fatal(err)
			}
			c.CloseWrite()
			p.Ends(1)
			program.Holds(t, dst, []byte("old"))
			if _, err := c.Read(make([]byte, 1)); err == nil || err == io.EOF {
				t.Errorf("the sender was told that all is well (%v)", err)
			}
		})
	}
}
