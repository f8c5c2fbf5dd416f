package main

import (
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// A sender that is killed, wherever it is, is never taken for one that has ended.
func TestKillSender(t *testing.T) {
	const size = 40 << 20 // far more than the buffers of both ends take
	content := noise(size, 8)
	name := filepath.Join(t.TempDir(), "in")
	writeFile(t, name, content, 0o644)
	for seed := range uint64(4) {
		at := rand.New(rand.NewPCG(seed, 1)).IntN(size - 32<<20)
		inModes(t, func(t *testing.T, m mode) {
			p, c := meetPeer(t, m, "send", name)
			prefix(t, readN(t, c, at), content)
			p.signal(unix.SIGKILL)
			p.ends(137)
			rest, err := io.ReadAll(c)
			if prefix(t, rest, content[at:]); !errors.Is(err, unix.ECONNRESET) {
				t.Errorf("killed after %d bytes, the receiver saw %v", at, err)
			}
		})
		inModes(t, func(t *testing.T, m mode) {
			r, w := pipe(t)
			dst := filepath.Join(t.TempDir(), "out")
			p := m.zcp(t, "recv", "-q", ":0", dst).start()
			s := m.zcp(t, "send", "-q", "-", "127.0.0.1:"+p.port()).from(r).start()
			r.Close()
			write(t, w, content[:at])
			awaitSize(t, dst+".part", int64(at))
			s.signal(unix.SIGKILL)
			p.ends(3)
			absent(t, dst)
			holds(t, dst+".part", content[:at])
		})
	}
}

// A receiver that is killed, wherever it is, never lets the sender believe that all is stored.
func TestKillReceiver(t *testing.T) {
	const size = 16 << 20
	content := noise(size, 9)
	name := filepath.Join(t.TempDir(), "in")
	writeFile(t, name, content, 0o644)
	for seed := range uint64(4) {
		at := rand.New(rand.NewPCG(seed, 2)).IntN(size - 12<<20)
		inModes(t, func(t *testing.T, m mode) {
			r, w := pipe(t)
			p := m.zcp(t, "recv", "-q", ":0")
			p.Stdout = w
			p.start()
			w.Close()
			s := m.zcp(t, "send", "-q", name, "127.0.0.1:"+p.port()).start()
			prefix(t, readN(t, r, at), content)
			p.signal(unix.SIGKILL)
			s.ends(3)
			rest, _ := io.ReadAll(r) // what was in the pipe
			prefix(t, rest, content[at:])
		})
	}
}

// Killed after everything was acknowledged and before DST has its name: the FIFO in place
// of a slow disk lets nothing be finished.
func TestKillBeforeStored(t *testing.T) {
	inModes(t, func(t *testing.T, m mode) {
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
		r := m.zcp(t, "recv", "-q", "-B64k", ":0", fifo).start()
		s := m.zcp(t, "send", "-f", "-i", "0.1", "-S", "-s", "80k", "zero:", "127.0.0.1:"+r.port()).start()
		s.says("80.0KiB .* all acknowledged")
		asleep(t, r.Process.Pid)
		r.signal(unix.SIGKILL)
		if s.ends(3); !strings.Contains(s.err.String(), "reset by peer after 80.0KiB") {
			t.Errorf("said %q", s.err)
		}
	})
}

// A Unix socket knows no reset: only --size tells a part from the whole there.
func TestKillOnUnixSocket(t *testing.T) {
	dir := t.TempDir()
	for _, size := range []bool{false, true} {
		r, w := pipe(t)
		args := []string{"recv", "-q", "-l", "unix:s", "out"}
		want := 0
		if size {
			args, want = append(args, "-s", "10"), 3
		}
		p := zcp(t, args...)
		p.Dir = dir
		p.start()
		s := zcp(t, "send", "-q", "--retry-for", "1m", "-", "unix:s").from(r)
		s.Dir = dir
		s.start()
		r.Close()
		write(t, w, []byte("part"))
		awaitSize(t, filepath.Join(dir, "out.part"), 4)
		s.signal(unix.SIGKILL)
		p.ends(want)
		w.Close()
	}
}
