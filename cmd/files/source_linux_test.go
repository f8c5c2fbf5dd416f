package files

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/zcp-go/zcp/cmd/exit"
)

func TestTotalSize(t *testing.T) {
	dir := t.TempDir()
	a, b, fifo := filepath.Join(dir, "a"), filepath.Join(dir, "b"), filepath.Join(dir, "fifo")
	create(t, a, "12345", 0o600)
	create(t, b, "123", 0o600)
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		paths []string
		want  int64
	}{{nil, 0}, {[]string{a}, 5}, {[]string{a, b, a}, 13}, {[]string{a, fifo}, -1}, {[]string{a, a + "x"}, -1}, {[]string{"/dev/zero"}, -1}} {
		var names []Name
		for _, path := range tc.paths {
			names = append(names, Name{Path: path})
		}
		if got := TotalSize(names); got != tc.want {
			t.Errorf("%v: %d, want %d", tc.paths, got, tc.want)
		}
	}
}

func TestCheckReadable(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	create(t, file, "x", 0o600)
	if err := CheckReadable([]Name{{FD: 0}, {Path: file, Text: "file"}}); err != nil {
		t.Error(err)
	}
	refused(t, CheckReadable([]Name{{FD: 99, Text: "fd:99"}}), "fd:99: bad file descriptor")
	refused(t, CheckReadable([]Name{{Path: file}, {Path: dir, Text: "dir"}}), "dir: is a directory")
	refused(t, CheckReadable([]Name{{Path: file + "x", Text: "x\x1b[2J"}}), `"x\x1b[2J": no such file or directory`)
}

// TestInherited: what this process opened is close-on-exec, so it was not inherited.
func TestInherited(t *testing.T) {
	f, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD, 0) // as execve(2) hands it on
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if err := Inherited(fd); err != nil {
		t.Errorf("an inherited one: %v", err)
	}
	if err := Inherited(int(f.Fd())); err != unix.EBADF {
		t.Errorf("one of our own: %v", err)
	}
	_, err = OpenSource(context.Background(), Name{FD: int(f.Fd()), Text: "fd:N"}, Idle)
	refused(t, err, "fd:N: bad file descriptor")
}

// TestOpenFIFO: the open waits for the other side, meanwhile runs, and its error or the end
// of the context ends the wait.
func TestOpenFIFO(t *testing.T) {
	fifo := filepath.Join(t.TempDir(), "fifo")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	name := Name{Path: fifo, Text: "fifo"}
	e, err := OpenSource(context.Background(), name, func(ctx context.Context) error {
		w, err := os.OpenFile(fifo, os.O_WRONLY, 0) // lets the reader go on
		if err == nil {
			defer w.Close()
		}
		<-ctx.Done()
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	e.Close()

	why := &exit.Signaled{Signal: unix.SIGINT}
	ctx, cancel := context.WithCancelCause(context.Background())
	_, err = OpenSource(ctx, name, func(waiting context.Context) error {
		cancel(why)
		return Idle(waiting)
	})
	if err != error(why) {
		t.Errorf("the context ended: %v", err)
	}
	lost := errors.New("the peer has gone")
	if _, err = openWaiting(context.Background(), fifo, unix.O_RDONLY, func(context.Context) error { return lost }); err != lost {
		t.Errorf("meanwhile failed: %v", err)
	}
}

func TestRefuseSame(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	create(t, path, "x", 0o600)
	name := Name{Path: path, Text: "f"}
	a, err := OpenSource(context.Background(), name, Idle)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	b, err := OpenSource(context.Background(), name, Idle)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if err := RefuseSame(a, b, name); err == nil || err.Error() != "f: input file is output file" {
		t.Error(err)
	}
}
