package main

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
	{"mode changed", func(file string, old []byte) error { return os.Chmod(file, 0o600) }, []int{0}, plainEnd},
	{"linked", func(file string, old []byte) error { return os.Link(file, file+"2") }, []int{0}, plainEnd},
	{"removed", func(file string, old []byte) error { return os.Remove(file) }, []int{0}, plainEnd},
	{"replaced", func(file string, old []byte) error { return os.Rename(mustBe(file+"2", "new"), file) }, []int{0}, plainEnd},
	{"opened and left", func(file string, old []byte) error { return writeAt(file, 0, nil) }, []int{0}, plainEnd},
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

// Whoever changes a file while it is sent is let do so within a second, and the sender
// does not claim that what arrived is the file.
func TestSourceChanges(t *testing.T) {
	old := noise(16<<20, 11)
	for _, ch := range changes {
		t.Run(ch.name, func(t *testing.T) {
			inModes(t, func(t *testing.T, m mode) {
				file := filepath.Join(t.TempDir(), "in")
				writeFile(t, file, old, 0o644)
				p, c := meetPeer(t, m, "send", file)
				got := readN(t, c, 1<<20)
				asleep(t, p.Process.Pid)
				began := time.Now()
				if err := ch.make(file, old); err != nil {
					t.Fatal(err)
				}
				if took := time.Since(began); took > 2*time.Second {
					t.Errorf("the writer waited %v", took)
				}
				rest, err := io.ReadAll(c)
				c.Close()
				if broken := strings.Contains(ch.said, shorter); broken != errors.Is(err, unix.ECONNRESET) {
					t.Errorf("the receiver saw %v", err) // fewer bytes than there were are broken off
				}
				sameAsClaimed(t, p, ch, append(got, rest...), old)
			})
		})
	}
}

// sameAsClaimed holds what arrived against what send has said.
func sameAsClaimed(t *testing.T, p *program, ch change, got, old []byte) {
	t.Helper()
	status := p.end()
	known := false
	for _, s := range ch.status {
		known = known || s == status
	}
	if !known {
		t.Errorf("ended with %d, want %v\n%s", status, ch.status, p.err)
	}
	p.says(ch.said)
	if status == 0 && !bytes.Equal(got, old) {
		t.Errorf("status 0, but %d bytes arrived that are not the %d", len(got), len(old))
	}
}

// Each of several sources that have changed is named, on a line of its own.
func TestSeveralSourcesChange(t *testing.T) {
	a, b, c := source(t, "first"), source(t, "second"), source(t, "third")
	p, conn := meetPeer(t, modes[0], "send", a, b, c)
	if got, err := io.ReadAll(conn); string(got) != "firstsecondthird" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
	for _, name := range []string{a, c} {
		if err := writeAt(name, 0, []byte("X")); err != nil {
			t.Fatal(err)
		}
	}
	conn.Close()
	p.ends(6)
	for _, name := range []string{a, c} {
		if !strings.Contains(p.err.String(), "zcp: "+name+mixture[:len(mixture)-2]) {
			t.Errorf("said %q, nothing of %s", p.err, name)
		}
	}
	if strings.Contains(p.err.String(), b) {
		t.Errorf("said %q", p.err)
	}
}

// A file that shrinks gives a reset where --size or the size at the start promised more:
// the receiver must not take what there was for the file.
func TestSourceShrinks(t *testing.T) {
	old := noise(16<<20, 12)
	inModes(t, func(t *testing.T, m mode) {
		file := filepath.Join(t.TempDir(), "in")
		writeFile(t, file, old, 0o644)
		r, w := pipe(t)
		p := m.zcp(t, "recv", "-q", ":0")
		p.Stdout = w
		p.start()
		w.Close()
		s := m.zcp(t, "send", "-q", file, "127.0.0.1:"+p.port()).start()
		readN(t, r, 1<<20)
		if err := os.Truncate(file, 15<<20); err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, r) // until the end, whatever it is
		s.ends(6)
		if p.end() == 0 {
			t.Errorf("the receiver took a part for the whole")
		}
	})
}

// cat to a pipe whose reader sleeps: what is in the pipe when cat has ended does not
// change any more with the file.
func TestCatIsACopy(t *testing.T) {
	for _, size := range []int{5, 60_000, 1 << 20, 3<<20 + 5} {
		inModes(t, func(t *testing.T, m mode) {
			old := noise(size, 13)
			file := filepath.Join(t.TempDir(), "in")
			writeFile(t, file, old, 0o644)
			r, w := pipe(t)
			p := m.zcp(t, "cat", file)
			p.Stdout = w
			p.start()
			w.Close()
			got := readWhile(t, r, p)
			p.ends(0)
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
func readWhile(t testing.TB, r io.Reader, p *program) (got []byte) {
	t.Helper()
	for b := make([]byte, 64<<10); ; {
		waitFor(t, "an end or a sleep", func() bool { return p.hasEnded() || allSleep(p.Process.Pid) })
		if p.hasEnded() {
			return got
		}
		n, err := r.Read(b)
		if got = append(got, b[:n]...); err != nil {
			return got
		}
	}
}

// Somebody has the file open for writing: it is copied and compared, which -v says.
func TestSourceBeingWritten(t *testing.T) {
	old := noise(3<<20, 14)
	file := filepath.Join(t.TempDir(), "in")
	writeFile(t, file, old, 0o644)
	f, err := os.OpenFile(file, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() }) // after the parallel ones
	inModes(t, func(t *testing.T, m mode) {
		p, c := meetPeer(t, m, "send", "-v", file)
		got, err := io.ReadAll(c)
		if c.Close(); err != nil || !bytes.Equal(got, old) {
			t.Errorf("%d bytes, %v", len(got), err)
		}
		p.ends(0)
		if m.name == "kernel" {
			p.says("no lease: somebody has it open for writing")
		}
	})
	// A growing log: what it held at the start is sent, and that it has grown is said.
	inModes(t, func(t *testing.T, m mode) {
		file := filepath.Join(t.TempDir(), "log")
		writeFile(t, file, noise(16<<20, 15), 0o644)
		f, err := os.OpenFile(file, os.O_WRONLY|os.O_APPEND, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		p, c := meetPeer(t, m, "send", file)
		readN(t, c, 1<<20)
		write(t, f, []byte("one more line\n"))
		n, err := io.Copy(io.Discard, c)
		if c.Close(); n != 15<<20 || err != nil {
			t.Errorf("%d bytes, %v", n, err)
		}
		p.ends(0)
		p.says(grown)
	})
}

// Another user's file cannot be leased; it goes by sendfile all the same and is looked at
// before and after.
func TestSourceOfAnother(t *testing.T) {
	ln, other := asNobody(t, "send", "-v", "in", ":0")
	writeFile(t, filepath.Join(other, "in"), noise(3<<20, 16), 0o644)
	p := ln.start()
	c := dial(t, p)
	got, err := io.ReadAll(c)
	if c.Close(); err != nil || !bytes.Equal(got, noise(3<<20, 16)) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	p.ends(0)
	p.says("no lease: it is another user's")
	if !strings.Contains(p.err.String(), "file to TCP by sendfile") {
		t.Errorf("said %q", p.err)
	}
}
