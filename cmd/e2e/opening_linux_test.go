package e2e

import (
	"io"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/zcp-go/zcp/cmd/e2e/program"
)

// opensLate starts a send of a file and of a FIFO that has no writer yet, and returns when
// it waits for one.
func opensLate(t *testing.T, m program.Mode, extra ...string) (p *program.Process, file, fifo string, c *net.TCPConn) {
	t.Helper()
	dir := t.TempDir()
	file, fifo = filepath.Join(dir, "file"), filepath.Join(dir, "fifo")
	program.WriteFile(t, file, []byte("first "), 0o644)
	if err := unix.Mkfifo(fifo, 0o644); err != nil {
		t.Fatal(err)
	}
	p, conn := program.MeetPeer(t, m, append(append([]string{"send"}, extra...), file, fifo)...)
	program.ReadN(t, conn, 6)
	return p, file, fifo, conn
}

// While a sender waits for a FIFO to be opened it goes on serving everything else: a
// writer gets the lease on the file before, a peer that breaks off is heard, --idle counts.
func TestWaitingToOpen(t *testing.T) {
	program.InModes(t, func(t *testing.T, m program.Mode) {
		p, file, fifo, c := opensLate(t, m)
		program.Asleep(t, p.Process.Pid)
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
		p.Ends(0)

		p, _, _, _ = opensLate(t, m, "--idle", "0.3")
		p.Ends(5)
		p.Says(`no byte in either direction for the time allowed after 6B\n`)

		p, _, _, c = opensLate(t, m)
		program.Asleep(t, p.Process.Pid)
		program.Reset(t, c)
		p.Ends(3)
		p.Says(`connection reset by peer after 6B\n`)

		p, _, _, _ = opensLate(t, m)
		program.Asleep(t, p.Process.Pid)
		p.Signal(unix.SIGINT)
		p.Ends(130)
	})
	program.InModes(t, func(t *testing.T, m program.Mode) { // a receiver waits for a reader
		fifo := filepath.Join(t.TempDir(), "fifo")
		if err := unix.Mkfifo(fifo, 0o644); err != nil {
			t.Fatal(err)
		}
		p := m.Zcp(t, "recv", "--idle", "0.3", ":0", fifo).Start()
		c := program.Dial(t, p)
		p.Ends(5)
		program.WantReset(t, c)
	})
}
