package e2e

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/zcp-go/zcp/cmd/e2e/program"
)

// rooms make a room for each example: two folders, hosts that are all this one, disks that are
// files, and the programs beside zcp that may not be installed. They are copies of one, made once.
type rooms struct {
	dir        string
	made       atomic.Int32
	home       string // the working directory
	mount, net *os.File
}

const exampleHosts = `127.0.0.1 localhost host here there inner
127.0.0.6 app
127.0.0.7 db
127.0.0.8 a
127.0.0.2 b
127.0.0.3 c
127.0.0.4 d
127.0.0.5 e
`

// exampleNodes are the devices of this host that a room has.
var exampleNodes = []string{"null", "zero", "urandom", "full", "tty"}

// exampleStubs stand for a program where it runs elsewhere, or is a person. ROOM is the room.
var exampleStubs = map[string]string{
	// Another host is another folder and address of this one.
	"ssh":      `h=$1; shift; mkdir -p "$ROOM/$h/photos"; cd "$ROOM/$h"; printf x >f; exec bash -c "${*// :9000/ -l $h:9000}"`,
	"dialog":   `exec cat >/dev/null`,
	"consumer": `exec cat >/dev/null`,
}

// exampleTools stand for programs that need not be installed.
var exampleTools = map[string]string{
	"zstd": `exec gzip "$@"`,
	"jq":   `grep -q '"event":"end".*"status":0'`,
	"curl": `exec socat - TCP:localhost:9100 <<<$'GET /metrics HTTP/1.0\r\n\r'`,
}

// newRooms makes the model of all rooms.
func newRooms(t *testing.T) *rooms {
	r := &rooms{dir: t.TempDir()}
	var errs [3]error
	r.home, errs[0] = os.Getwd()
	r.mount, errs[1] = os.Open("/proc/self/ns/mnt") // the main thread's: no room is on that one
	r.net, errs[2] = os.Open("/proc/self/ns/net")
	must(t, errs[:]...)
	t.Cleanup(func() { must(t, r.mount.Close(), r.net.Close()) })
	in := func(name string) string { return filepath.Join(r.dir, "model", name) }
	write := func(name string, b []byte, mode os.FileMode) {
		must(t, os.MkdirAll(filepath.Dir(in(name)), 0o755))
		program.WriteFile(t, in(name), b, mode)
	}
	for i, name := range []string{"f", "big.iso", "disk.img", "backup.tar", "log", "part1", "part2"} {
		noise := program.Noise(300_000, uint64(i))
		write("here/"+name, noise, 0o644)
		switch name {
		case "f":
			for _, copied := range []string{"here/dir/1", "here/photos/1", "src/f", "src/photos/1"} {
				write(copied, noise, 0o644)
			}
		case "disk.img":
			write("there/disk.img.part", noise[:150_000], 0o644) // nothing else is there yet
		}
	}
	must(t, os.Mkdir(in("there/dir"), 0o755))
	write("dev/sda", program.Noise(2<<20, 100), 0o644)
	write("dev/sdb", program.Noise(2<<20, 101), 0o644)
	for _, node := range exampleNodes {
		write("dev/"+node, nil, 0o644)
	}
	must(t, os.Symlink("/proc/self/fd", in("dev/fd")))
	write("hosts", []byte(exampleHosts), 0o644)
	for name, script := range exampleStubs {
		write("bin/"+name, []byte("#!/bin/bash\n"+script+"\n"), 0o755)
	}
	for name, script := range exampleTools {
		if _, err := exec.LookPath(name); err != nil {
			write("bin/"+name, []byte("#!/bin/bash\n"+script+"\n"), 0o755)
		}
	}
	must(t, os.Symlink(program.Path(t), in("bin/zcp")))
	return r
}

// run has bash run a script in a new room, which has to end with 0.
func (r *rooms) run(t *testing.T, script string) {
	prelude, err := filepath.Abs("testdata/examples/prelude.bash")
	must(t, err)
	dir := filepath.Join(r.dir, fmt.Sprint(r.made.Add(1)))
	must(t, os.CopyFS(dir, os.DirFS(filepath.Join(r.dir, "model"))), unix.Mkfifo(filepath.Join(dir, "never"), 0o600))
	runtime.LockOSThread()
	defer r.leave(t)
	enterRoom(t, dir)
	p := program.Command(t, "bash", "-c", "source "+prelude+"\n"+script).With("ROOM="+dir, "PATH="+dir+"/bin:"+os.Getenv("PATH"))
	p.Dir = dir
	p.SysProcAttr.Cloneflags = unix.CLONE_NEWPID // whatever an example leaves ends with its shell
	if p.Start().End() != 0 {
		t.Errorf("%s%s\nof\n%s", p.Out, p.ErrOut, script)
	}
}

// leave takes this thread back to the namespaces of all others. It must not end: the processes that it has
// started before would be killed with it (PR_SET_PDEATHSIG in prctl(2) is about the thread).
func (r *rooms) leave(t *testing.T) {
	if err := errors.Join(unix.Setns(int(r.mount.Fd()), unix.CLONE_NEWNS), unix.Setns(int(r.net.Fd()), unix.CLONE_NEWNET),
		unix.Chdir(r.home)); err != nil { // setns(2) goes to the root
		t.Error("the thread stays locked:", err)
		return
	}
	runtime.UnlockOSThread()
}

// enterRoom puts this thread into namespaces of its own, where /dev and the hosts are those of a room
// and nothing listens. The calls take no processes, which would cost more than most examples.
func enterRoom(t *testing.T, dir string) {
	if unix.Gettid() == unix.Getpid() {
		t.Fatal("this is the main thread, whose namespaces are those of /proc/self")
	}
	must(t, unix.Unshare(unix.CLONE_NEWNS|unix.CLONE_NEWNET), unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""),
		unix.Mount("run", "/run", "tmpfs", 0, ""), unix.Mount(dir+"/hosts", "/etc/hosts", "", unix.MS_BIND, ""))
	for _, node := range exampleNodes {
		must(t, unix.Mount("/dev/"+node, dir+"/dev/"+node, "", unix.MS_BIND, ""))
	}
	must(t, unix.Mount(dir+"/dev", "/dev", "", unix.MS_BIND|unix.MS_REC, ""))
	s, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	must(t, err)
	defer unix.Close(s)
	lo, err := unix.NewIfreq("lo")
	must(t, err, unix.IoctlIfreq(s, unix.SIOCGIFFLAGS, lo))
	lo.SetUint16(lo.Uint16() | unix.IFF_UP)
	must(t, unix.IoctlIfreq(s, unix.SIOCSIFFLAGS, lo))
}
