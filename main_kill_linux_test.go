package main

import (
	"io"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// A valve stands between two ends and lets an exact number of bytes through before it
// does something. It is a plain relay that tells a reset from an end.
func valve(t testing.TB, to string, n int64, then func()) (addr string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	go func() {
		a, err := ln.Accept()
		if err != nil {
			return
		}
		b, err := net.Dial("tcp", to)
		if err != nil {
			a.Close()
			return
		}
		go passOn(a.(*net.TCPConn), b.(*net.TCPConn), func() {})
		if _, err := io.CopyN(b, a, n); err == nil {
			then()
		}
		passOn(b.(*net.TCPConn), a.(*net.TCPConn), func() {})
	}()
	return ln.Addr().String()
}

// passOn copies one direction and ends it as its source has ended: in order, or by a reset of both.
func passOn(dst, src *net.TCPConn, done func()) {
	defer done()
	if _, err := io.Copy(dst, src); err != nil {
		for _, c := range []*net.TCPConn{dst, src} {
			_ = c.SetLinger(0) // of a connection that is broken
			c.Close()
		}
		return
	}
	_ = dst.CloseWrite() // of a connection that may be broken by now
}

// Whoever is killed, wherever it is, the other side never takes the part for the whole,
// and what has arrived is a beginning of what was sent.
func TestKill(t *testing.T) {
	const size = 6 << 20
	content := noise(size, 8)
	name := filepath.Join(t.TempDir(), "in")
	writeFile(t, name, content, 0o644)
	for _, victim := range []string{"sender", "receiver"} {
		t.Run(victim, func(t *testing.T) {
			inModes(t, func(t *testing.T, m mode) {
				for seed := range uint64(6) {
					at := int64(rand.New(rand.NewPCG(seed, 1)).IntN(size))
					dst := filepath.Join(t.TempDir(), "out")
					r := m.zcp(t, "recv", "-q", ":0", dst).start()
					var s *program
					started := make(chan struct{})
					via := valve(t, "127.0.0.1:"+r.port(), at, func() {
						<-started
						if victim == "sender" {
							_ = s.Process.Kill() // cannot fail: nobody has waited for it to end
						} else {
							_ = r.Process.Kill()
						}
					})
					s = m.zcp(t, "send", "-q", name, via).start()
					close(started)
					ss, rs := s.end(), r.end()
					if victim == "sender" && (ss != 137 || rs != 3) || victim == "receiver" && (rs != 137 || ss != 3) {
						t.Errorf("killed at %d: the sender ended with %d %s, the receiver with %d %s", at, ss, s.err, rs, r.err)
					}
					absent(t, dst)
					got, _ := os.ReadFile(dst + ".part") // it may not have come so far
					prefix(t, got, content)
				}
			})
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
		s := m.zcp(t, "send", "-q", "-S", "-s", "128k", "zero:", "127.0.0.1:"+r.port()).start()
		asleep(t, r.Process.Pid)
		asleep(t, s.Process.Pid)
		r.signal(unix.SIGKILL)
		if s.ends(3); !strings.Contains(s.err.String(), "reset by peer after 128KiB") {
			t.Errorf("said %q", s.err)
		}
	})
}

// A Unix socket knows no reset: only --size tells a part from the whole there.
func TestKillOnUnixSocket(t *testing.T) {
	dir := t.TempDir()
	for _, size := range []bool{false, true} {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		defer w.Close()
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
