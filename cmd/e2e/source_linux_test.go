package e2e

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/zcp-go/zcp/cmd/e2e/program"
)

// A change is made to a file while it is on its way to a receiver that has read a part of
// it.
type change struct {
	name   string
	make   func(file string, old []byte) error
	status []int // what send makes of it; more than one where it depends on the path
	said   string
}

const (
	mixture = `: changed while it was being sent: what arrived may be a mixture\n`
	shorter = `: became shorter while it was being sent: `
	grown   = ` has grown while it was being sent: what was sent is what it held at the start\n`
)

var changes = []change{
	{"overwritten in place", func(file string, old []byte) error {
		return writeAt(file, 0, bytes.Repeat([]byte{'B'}, len(old)))
	}, []int{6}, mixture},
	{"one byte at the end", func(file string, old []byte) error { return writeAt(file, int64(len(old)-1), []byte{'B'}) }, []int{6}, mixture},
	{"truncated", func(file string, old []byte) error { return os.Truncate(file, 6000) }, []int{6}, shorter + `|` + mixture},
	{"emptied", func(file string, old []byte) error { return os.Truncate(file, 0) }, []int{6}, shorter + `|` + mixture},
	{"appended to", func(file string, old []byte) error { return writeAt(file, int64(len(old)), []byte("more")) }, []int{0, 6}, grown + `|` + mixture},
	{"mode changed", func(file string, old []byte) error { return os.Chmod(file, 0o600) }, []int{0}, program.PlainEnd},
	{"linked", func(file string, old []byte) error { return os.Link(file, file+"2") }, []int{0}, program.PlainEnd},
	{"removed", func(file string, old []byte) error { return os.Remove(file) }, []int{0}, program.PlainEnd},
	{"replaced", func(file string, old []byte) error { return os.Rename(mustBe(file+"2", "new"), file) }, []int{0}, program.PlainEnd},
	{"opened and left", func(file string, old []byte) error { return writeAt(file, 0, nil) }, []int{0}, program.PlainEnd},
}

func writeAt(file string, at int64, b []byte) error {
	f, err := os.OpenFile(file, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = f.WriteAt(b, at)
	return err
}

func mustBe(file, content string) string {
	if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
		panic(err)
	}
	return file
}

// A process that changes a file while it is sent may do so within a second, and the sender
// does not claim that what arrived is the file.
func TestSourceChanges(t *testing.T) {
	t.Parallel()
	old := program.Noise(16<<20, 11)
	for i, ch := range changes {
		t.Run(ch.name, func(t *testing.T) {
			t.Parallel()
			program.InSomeModes(t, i, func(t *testing.T, m program.Mode) {
				file := filepath.Join(t.TempDir(), "in")
				program.WriteFile(t, file, old, 0o644)
				p, c := program.MeetPeer(t, m, "send", file)
				got := program.ReadN(t, c, 1<<20)
				program.Asleep(t, p.Process.Pid)
				began := time.Now()
				if err := ch.make(file, old); err != nil {
					t.Fatal(err)
				}
				if took := time.Since(began); took > slowdown*2*time.Second {
					t.Errorf("the writer waited %v", took)
				}
				all := bytes.NewBuffer(make([]byte, 0, len(old)+bytes.MinRead)) // it does not grow
				all.Write(got)
				_, err := all.ReadFrom(c)
				c.Close()
				if broken := strings.Contains(ch.said, shorter); broken != errors.Is(err, unix.ECONNRESET) {
					t.Errorf("the receiver saw %v", err) // fewer bytes than there were are broken off
				}
				sameAsClaimed(t, p, ch, all.Bytes(), old)
			})
		})
	}
}

// sameAsClaimed holds what arrived against what send has said.
func sameAsClaimed(t *testing.T, p *program.Process, ch change, got, old []byte) {
	t.Helper()
	status := p.End()
	known := false
	for _, s := range ch.status {
		known = known || s == status
	}
	if !known {
		t.Errorf("ended with %d, want %v\n%s", status, ch.status, p.ErrOut)
	}
	p.Says(ch.said)
	if status == 0 && !bytes.Equal(got, old) {
		t.Errorf("status 0, but %d bytes arrived that are not the %d", len(got), len(old))
	}
}

// Each of several sources that have changed is named, on a line of its own.
func TestSeveralSourcesChange(t *testing.T) {
	a, b, c := program.Source(t, "first"), program.Source(t, "second"), program.Source(t, "third")
	p, conn := program.MeetPeer(t, program.Modes[0], "send", a, b, c)
	if got, err := io.ReadAll(conn); string(got) != "firstsecondthird" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
	for _, name := range []string{a, c} {
		if err := writeAt(name, 0, []byte("X")); err != nil {
			t.Fatal(err)
		}
	}
	conn.Close()
	p.Ends(6)
	for _, name := range []string{a, c} {
		if !strings.Contains(p.ErrOut.String(), "zcp: "+name+mixture[:len(mixture)-2]) {
			t.Errorf("said %q, nothing of %s", p.ErrOut, name)
		}
	}
	if strings.Contains(p.ErrOut.String(), b) {
		t.Errorf("said %q", p.ErrOut)
	}
}

// A file that shrinks gives a reset where --size or the size at the start promised more:
// the receiver must not take what there was for the file.
func TestSourceShrinks(t *testing.T) {
	old := program.Noise(16<<20, 12)
	program.InModes(t, func(t *testing.T, m program.Mode) {
		file := filepath.Join(t.TempDir(), "in")
		program.WriteFile(t, file, old, 0o644)
		r, w := program.Pipe(t)
		p := m.Zcp(t, "recv", "-q", ":0")
		p.Stdout = w
		p.Start()
		w.Close()
		s := m.Zcp(t, "send", "-q", file, "127.0.0.1:"+p.Port()).Start()
		program.ReadN(t, r, 1<<20)
		if err := os.Truncate(file, 15<<20); err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, r) // until the end, whatever it is
		s.Ends(6)
		if p.End() == 0 {
			t.Errorf("the receiver took a part for the whole")
		}
	})
}

// cat to a pipe whose reader sleeps: what is in the pipe when cat has ended does not
// change any more with the file.
func TestCatIsACopy(t *testing.T) {
	t.Parallel()
	for i, size := range []int{5, 60_000, 1 << 20, 3<<20 + 5} {
		program.InSomeModes(t, i, func(t *testing.T, m program.Mode) {
			old := program.Noise(size, 13)
			file := filepath.Join(t.TempDir(), "in")
			program.WriteFile(t, file, old, 0o644)
			r, w := program.Pipe(t)
			p := m.Zcp(t, "cat", file)
			p.Stdout = w
			p.Start()
			w.Close()
			got := readWhile(t, r, p)
			p.Ends(0)
			if err := writeAt(file, 0, bytes.Repeat([]byte{'B'}, size)); err != nil {
				t.Fatal(err)
			}
			rest, err := io.ReadAll(r)
			if got = append(got, rest...); err != nil || !bytes.Equal(got, old) {
				t.Errorf("%d bytes arrived (%v) that are not the %d that were there", len(got), err, size)
			}
		})
	}
}

// readWhile reads, little by little, for as long as a process runs: what it leaves in the
// pipe is as much as can be.
func readWhile(t testing.TB, r io.Reader, p *program.Process) (got []byte) {
	t.Helper()
	for b := make([]byte, 64<<10); ; {
		program.WaitFor(t, "an end or a sleep", func() bool { return p.HasEnded() || program.AllSleep(p.Process.Pid) })
		if p.HasEnded() {
			return got
		}
		n, err := r.Read(b)
		if got = append(got, b[:n]...); err != nil {
			return got
		}
	}
}

// A process has the file open for writing: it is copied and compared, which -v says.
func TestSourceBeingWritten(t *testing.T) {
	t.Parallel()
	old := program.Noise(3<<20, 14)
	file := filepath.Join(t.TempDir(), "in")
	program.WriteFile(t, file, old, 0o644)
	f, err := os.OpenFile(file, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() }) // after the parallel ones
	program.InModes(t, func(t *testing.T, m program.Mode) {
		p, c := program.MeetPeer(t, m, "send", "-v", file)
		got, err := io.ReadAll(c)
		if c.Close(); err != nil || !bytes.Equal(got, old) {
			t.Errorf("%d bytes, %v", len(got), err)
		}
		p.Ends(0)
		if m.Name == "kernel" {
			p.Says("no lease: another process has it open for writing")
		}
	})
	// A growing log: what it held at the start is sent, and that it has grown is said.
	program.InModes(t, func(t *testing.T, m program.Mode) {
		file := filepath.Join(t.TempDir(), "log")
		program.WriteFile(t, file, program.Noise(16<<20, 15), 0o644)
		f, err := os.OpenFile(file, os.O_WRONLY|os.O_APPEND, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		p, c := program.MeetPeer(t, m, "send", file)
		program.ReadN(t, c, 1<<20)
		program.Write(t, f, []byte("one more line\n"))
		n, err := io.Copy(io.Discard, c)
		if c.Close(); n != 15<<20 || err != nil {
			t.Errorf("%d bytes, %v", n, err)
		}
		p.Ends(0)
		p.Says(grown)
	})
}

// Another user's file cannot be leased; it goes by the kernel's path all the same and is looked at
// before and after.
func TestSourceOfAnother(t *testing.T) {
	ln, other := asNobody(t, "send", "-v", "in", ":0")
	program.WriteFile(t, filepath.Join(other, "in"), program.Noise(3<<20, 16), 0o644)
	p := ln.Start()
	c := program.Dial(t, p)
	got, err := io.ReadAll(c)
	if c.Close(); err != nil || !bytes.Equal(got, program.Noise(3<<20, 16)) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	p.Ends(0)
	p.Says("no lease: it is another user's")
	if !strings.Contains(p.ErrOut.String(), "file to TCP by splice through a pipe") {
		t.Errorf("said %q", p.ErrOut)
	}
}
