package faults

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/zcp-go/zcp/cmd/e2e/program"
)

// optional are calls that a file system, a sandbox or an old kernel may refuse although every
// byte can be stored: CIFS, vfat, NFS, 9p, FUSE, old ZFS, gVisor, old Docker. said is what -v
// tells; where it is empty, the second best is as good, or nothing is lost.
var optional = []struct {
	calls  string
	errnos string
	work   string
	said   string
}{
	{"fchmod", "EPERM EOPNOTSUPP ENOSYS EINVAL", "recv over a file", `its mode cannot be kept`},
	{"fchown", "EPERM EOPNOTSUPP ENOSYS EINVAL", "recv over a file", `its owner or group cannot be kept`},
	{"flock", "ENOLCK EOPNOTSUPP ENOSYS EPERM EINVAL ENOTTY", "recv over a file", `the file system has no locks`},
	{"flock", "ENOLCK EOPNOTSUPP ENOSYS EPERM EINVAL ENOTTY", "recv a new file", `the file system has no locks`},
	{"renameat2", "EINVAL ENOSYS EPERM EOPNOTSUPP ENOTTY", "recv a new file", ``},
	{"renameat2,link,linkat", "EPERM EOPNOTSUPP ENOSYS", "recv a new file", ``},
	{"statx", "EPERM ENOSYS EOPNOTSUPP EINVAL", "recv over a file", ``},
	{"statx,name_to_handle_at", "EPERM ENOSYS EOPNOTSUPP", "recv over a file", ``},
	{"fallocate", "EPERM ENOSYS EOPNOTSUPP EINVAL", "recv a new file", ``},
	{"sync_file_range", "EPERM ENOSYS EINVAL", "recv over a file", ``},
	{"fstatfs", "EPERM ENOSYS", "recv a new file", ``},
	{"fsync", "EINVAL", "recv over a file", ``},
	{"statx", "EPERM ENOSYS", "send", ``},
	{"fstatfs", "EPERM ENOSYS", "send", ``},
	{"lseek", "ESPIPE", "cat", ``},
	{"fstatfs", "EPERM ENOSYS", "cat", ``},
	{"statx", "EPERM ENOSYS EINVAL", "cat", ``},
}

// optionalWork runs a transfer with -v under an injection into one end.
func optionalWork(t *testing.T, work string, in injection, dir string, content []byte) (int, string, bool) {
	switch work {
	case "cat":
		return moved(in.zcp(t, "cat", "-v", dir+"/in", "-o", dir+"/out"), dir+"/out", content)
	case "send":
		r := program.Zcp(t, "recv", "-q", ":0", dir+"/out").Start()
		return met(t, in.zcp(t, "send", "-v", dir+"/in", "127.0.0.1:"+r.Port()).Start(), r, r, dir, content)
	}
	args := []string{"recv", "-v", "--sync"}
	s := program.Zcp(t, "send", "-q", dir+"/in", "-w", "5", ":0").Start()
	if work == "recv a new file" {
		args = append(args, "--no-clobber")
		if err := os.Remove(dir + "/out"); err != nil {
			t.Fatal(err)
		}
	}
	p := in.zcp(t, append(args, "127.0.0.1:"+s.Port(), dir+"/out")...)
	return met(t, p.Start(), s, p, dir, content)
}

// What is only nice never makes a failure of a transfer whose bytes are stored, and what
// protects is replaced by its second best. The table is in the log (-v). Unless all are wanted ([program.All]), each
// row is tried with one errno.
func TestOptionalCallsRefused(t *testing.T) {
	program.NeedTool(t, "strace")
	content := program.Noise(2_000_000, 34)
	for i, tc := range optional {
		errnos := strings.Fields(tc.errnos)
		for j, errno := range errnos {
			if !program.All() && j != (i+9)%len(errnos) {
				continue
			}
			in := injection{tc.calls, errno, "1+"}
			t.Run(in.String()+"/"+tc.work, func(t *testing.T) {
				t.Parallel()
				dir := newWork(t, content)
				status, said, whole := optionalWork(t, tc.work, in, dir, content)
				if status != 0 || !whole {
					t.Errorf("ended with %d, whole %v: %s", status, whole, said)
				}
				if !regexp.MustCompile(tc.said).MatchString(said) {
					t.Errorf("-v says\n%swant %s", said, tc.said)
				}
				program.Absent(t, dir+"/out.part")
				verdict := "works as before"
				if tc.said != "" {
					verdict = "works, said with -v"
				}
				t.Logf("%-24s %-11s %-17s %s", tc.calls, errno, tc.work, verdict)
			})
		}
	}
}

// A name that an old .part has is not taken where no lock tells whether a recv writes to it: it
// is refused before it listens.
func TestOldPartWithoutLocks(t *testing.T) {
	program.NeedTool(t, "strace")
	dir := t.TempDir()
	program.WriteFile(t, dir+"/out.part", []byte("perhaps alive"), 0o644)
	p := injection{"flock", "ENOLCK", "1+"}.zcp(t, "recv", "-w", "5", ":0", dir+"/out").Run(1)
	if said := p.ErrOut.String(); strings.Contains(said, "listening") || !strings.Contains(said, "no lock tells whether it is being written") {
		t.Errorf("it said %s", said)
	}
	program.Holds(t, dir+"/out.part", []byte("perhaps alive"))
}

// A second recv to the same DST that begins while the first renames is refused: the
// lock lasts until after the rename. The first has told its sender that all is stored.
func TestSecondRecvWhileFirstRenames(t *testing.T) {
	t.Parallel() // strace delays
	program.NeedTool(t, "strace")
	dir, content := t.TempDir(), program.Noise(100_000, 35)
	program.WriteFile(t, dir+"/in", content, 0o644)
	first := delayed(t, "rename,renameat,renameat2", "recv", ":0", dir+"/out").Start()
	s := program.Zcp(t, "send", "-q", dir+"/in", "127.0.0.1:"+first.Port()).Start()
	program.AwaitSize(t, dir+"/out.part", int64(len(content)))
	second := program.Zcp(t, "recv", "-w", "5", ":0", dir+"/out").Run(1)
	if said := second.ErrOut.String(); !strings.Contains(said, "another zcp is receiving into it") {
		t.Errorf("the second said %s", said)
	}
	first.Ends(0)
	s.Ends(0)
	program.Holds(t, dir+"/out", content)
}

// A counted name that another process takes during the transfer makes it take the next one.
func TestCountedNameTakenMeanwhile(t *testing.T) {
	dir, content := t.TempDir(), program.Noise(100_000, 36)
	p := program.Zcp(t, "recv", "-k", ":0", dir+"/in-%d").Start()
	c := program.Dial(t, p)
	program.Write(t, c, content)
	program.AwaitSize(t, dir+"/in-1.part", int64(len(content)))
	program.WriteFile(t, dir+"/in-1", []byte("another's"), 0o644)
	if err := c.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if n, err := c.Read(make([]byte, 1)); n != 0 || err == nil || err.Error() != "EOF" {
		t.Errorf("the sender was told %v", err)
	}
	program.Holds(t, dir+"/in-1", []byte("another's"))
	program.Holds(t, dir+"/in-2", content)
	program.Absent(t, dir+"/in-1.part")
}
