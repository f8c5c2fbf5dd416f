package main

import (
	"io"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// opensLate starts a send of a file and of a FIFO that nobody writes to yet, and returns when
// it waits for somebody to do so.
func opensLate(t *testing.T, m mode, extra ...string) (p *program, file, fifo string, c *net.TCPConn) {
	t.Helper()
	dir := t.TempDir()
	file, fifo = filepath.Join(dir, "file"), filepath.Join(dir, "fifo")
	writeFile(t, file, []byte("first "), 0o644)
	if err := unix.Mkfifo(fifo, 0o644); err != nil {
		t.Fatal(err)
	}
	p, conn := meetPeer(t, m, append(append([]string{"send"}, extra...), file, fifo)...)
	readN(t, conn, 6)
	return p, file, fifo, conn
}

// While a sender waits for a FIFO to be opened it goes on looking after everybody else: a
// writer gets the lease on the file before, a peer that breaks off is heard, --idle counts.
func TestWaitingToOpen(t *testing.T) {
	inModes(t, func(t *testing.T, m mode) {
		p, file, fifo, c := opensLate(t, m)
		asleep(t, p.Process.Pid)
		began := time.Now()
		if err := writeAt(file, 0, nil); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took > 5*time.Second { // the kernel lets a writer in after 45 s
			t.Errorf("the writer waited %v", took)
		}
		if err := os.WriteFile(fifo, []byte("second"), 0); err != nil {
			t.Fatal(err)
		}
		if b, err := io.ReadAll(c); string(b) != "second" || err != nil {
			t.Errorf("got %q, %v", b, err)
		}
		c.Close()
		p.ends(0)

		p, _, _, _ = opensLate(t, m, "--idle", "0.3")
		p.ends(5)
		p.says(`no byte in either direction for the time allowed after 6B\n`)

		p, _, _, c = opensLate(t, m)
		asleep(t, p.Process.Pid)
		reset(t, c)
		p.ends(3)
		p.says(`connection reset by peer after 6B\n`)

		p, _, _, _ = opensLate(t, m)
		asleep(t, p.Process.Pid)
		p.signal(unix.SIGINT)
		p.ends(130)
	})
	inModes(t, func(t *testing.T, m mode) { // a receiver waits for whoever reads
		fifo := filepath.Join(t.TempDir(), "fifo")
		if err := unix.Mkfifo(fifo, 0o644); err != nil {
			t.Fatal(err)
		}
		p := m.zcp(t, "recv", "--idle", "0.3", ":0", fifo).start()
		c := dial(t, p)
		p.ends(5)
		wantReset(t, c)
	})
}
