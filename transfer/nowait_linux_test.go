package transfer

import (
	"errors"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// A write to a pipe whose O_NONBLOCK is not ours fills it in one call and never waits; to a FIFO,
// which cannot be asked that, it is a page.
func TestWriteNow(t *testing.T) {
	var pipe [2]int
	if err := unix.Pipe2(pipe[:], unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	defer unix.Close(pipe[0])
	defer unix.Close(pipe[1])
	path := filepath.Join(t.TempDir(), "fifo")
	if err := unix.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	fifo, err := unix.Open(path, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fifo)
	const room, more = 64 << 10, 256 << 10
	for _, c := range []struct {
		name string
		fd   int
		want int
	}{{"pipe", pipe[1], room}, {"FIFO", fifo, pageSize}} {
		if _, err := unix.FcntlInt(uintptr(c.fd), unix.F_SETPIPE_SZ, room); err != nil {
			t.Fatal(err)
		}
		e, err := NewEndpoint(c.fd)
		if err != nil {
			t.Fatal(err)
		}
		n, err := e.write(make([]byte, more))
		if c.name == "pipe" && e.waits {
			t.Skip("this kernel does not take RWF_NOWAIT for pipes")
		}
		if n != c.want || err != nil {
			t.Errorf("%s: %d, %v, want %d", c.name, n, err, c.want)
		}
		if e.waits {
			continue
		}
		if n, err := e.write([]byte("more")); n != 0 || !errors.Is(err, unix.EAGAIN) {
			t.Errorf("full %s: %d, %v", c.name, n, err)
		}
	}
	unix.Close(pipe[0])
	if n, err := writeNow(pipe[1], []byte("x")); n != 0 || err != unix.EPIPE {
		t.Errorf("without a reader: %d, %v", n, err)
	}
}
