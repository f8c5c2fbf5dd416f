package faults

import (
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/zcp-go/zcp/cmd/e2e/program"
)

// A sender that is killed, wherever it is, is never taken for one that has ended.
func TestKillSender(t *testing.T) {
	const size = 40 << 20 // far more than the buffers of both ends take
	content := program.Noise(size, 8)
	name := filepath.Join(t.TempDir(), "in")
	program.WriteFile(t, name, content, 0o644)
	for _, seed := range seeds(t, 2, 4) {
		at := rand.New(rand.NewPCG(seed, 1)).IntN(size - 32<<20)
		program.InModes(t, func(t *testing.T, m program.Mode) {
			p, c := program.MeetPeer(t, m, "send", name)
			prefix(t, program.ReadN(t, c, at), content)
			p.Signal(unix.SIGKILL)
			p.Ends(137)
			rest, err := io.ReadAll(c)
			if prefix(t, rest, content[at:]); !errors.Is(err, unix.ECONNRESET) {
				t.Errorf("killed after %d bytes, the receiver saw %v", at, err)
			}
		})
		program.InModes(t, func(t *testing.T, m program.Mode) {
			r, w := program.Pipe(t)
			dst := filepath.Join(t.TempDir(), "out")
			p := m.Zcp(t, "recv", "-q", ":0", dst).Start()
			s := m.Zcp(t, "send", "-q", "-", "127.0.0.1:"+p.Port()).From(r).Start()
			r.Close()
			program.Write(t, w, content[:at])
			program.AwaitSize(t, dst+".part", int64(at))
			s.Signal(unix.SIGKILL)
			p.Ends(3)
			program.Absent(t, dst)
			program.Holds(t, dst+".part", content[:at])
		})
	}
}

// A receiver that is killed, wherever it is, never lets the sender believe that all is stored.
func TestKillReceiver(t *testing.T) {
	const size = 16 << 20
	content := program.Noise(size, 9)
	name := filepath.Join(t.TempDir(), "in")
	program.WriteFile(t, name, content, 0o644)
	for _, seed := range seeds(t, 2, 4) {
		at := rand.New(rand.NewPCG(seed, 2)).IntN(size - 12<<20)
		program.InModes(t, func(t *testing.T, m program.Mode) {
			r, w := program.Pipe(t)
			p := m.Zcp(t, "recv", "-q", ":0")
			p.Stdout = w
			p.Start()
			w.Close()
			s := m.Zcp(t, "send", "-q", name, "127.0.0.1:"+p.Port()).Start()
			prefix(t, program.ReadN(t, r, at), content)
			p.Signal(unix.SIGKILL)
			s.Ends(3)
			rest, _ := io.ReadAll(r) // what was in the pipe
			prefix(t, rest, content[at:])
		})
	}
}

// Killed after everything was acknowledged and before DST has its name: the FIFO in place
// of a slow disk lets nothing be finished.
func TestKillBeforeStored(t *testing.T) {
	program.InModes(t, func(t *testing.T, m program.Mode) {
		dir := t.TempDir()
		fifo := filepath.Join(dir, "fifo")
		if err := unix.Mkfifo(fifo, 0o644); err != nil {
			t.Fatal(err)
		}
		reader, err := os.OpenFile(fifo, os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer reader.Close()
		r := m.Zcp(t, "recv", "-q", "-B64k", ":0", fifo).Start()
		s := m.Zcp(t, "send", "-f", "-i", "0.1", "-S", "-s", "80k", "zero:", "127.0.0.1:"+r.Port()).Start()
		s.Says("80.0KiB .* all acknowledged")
		program.Asleep(t, r.Process.Pid)
		r.Signal(unix.SIGKILL)
		if s.Ends(3); !strings.Contains(s.ErrOut.String(), "reset by peer after 80.0KiB") {
			t.Errorf("said %q", s.ErrOut)
		}
	})
}

// A Unix socket knows no reset: only --size tells a part from the whole there.
func TestKillOnUnixSocket(t *testing.T) {
	dir := t.TempDir()
	for _, size := range []bool{false, true} {
		r, w := program.Pipe(t)
		args := []string{"recv", "-q", "-l", "unix:s", "out"}
		want := 0
		if size {
			args, want = append(args, "-s", "10"), 3
		}
		p := program.Zcp(t, args...)
		p.Dir = dir
		p.Start()
		s := program.Zcp(t, "send", "-q", "--retry-for", "1m", "-", "unix:s").From(r)
		s.Dir = dir
		s.Start()
		r.Close()
		program.Write(t, w, []byte("part"))
		program.AwaitSize(t, filepath.Join(dir, "out.part"), 4)
		s.Signal(unix.SIGKILL)
		p.Ends(want)
		w.Close()
	}
}
