package tree

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/zcp-go/zcp/cmd/exit"
	"github.com/zcp-go/zcp/transfer"
)

// sendTo sends a tree to a file, and returns what it holds.
func sendTo(t *testing.T, dir string, s *Sender) (size int64) {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "stream"))
	ok(t, err)
	defer f.Close()
	dst, err := transfer.NewEndpoint(int(f.Fd()))
	ok(t, err)
	s.Transfer, s.Dst, s.Count, s.Measure = &transfer.Transfer{}, dst, new(Count), true
	s.Source = Source{Roots: []Root{{Path: dir, Name: ".", Text: dir}}, Report: func(err error) { t.Error(err) }, Note: func(string) {}}
	ok(t, s.Send(context.Background()))
	s.Close()
	fi, err := f.Stat()
	ok(t, err)
	return fi.Size()
}

// TestMeasure: the walk beside the sender comes within a thousandth of the stream, and at the end
// the size is exact, whatever changed meanwhile.
func TestMeasure(t *testing.T) {
	dir := t.TempDir()
	for i := range 300 {
		name := filepath.Join(dir, fmt.Sprintf("%d", i%7), strings.Repeat("d", i%200+1))
		ok(t, os.MkdirAll(name, 0o755), os.WriteFile(filepath.Join(name, fmt.Sprint(i)), make([]byte, i*1000), 0o600))
	}
	ok(t, os.Link(filepath.Join(dir, "0/d/0"), filepath.Join(dir, "second name")), os.Symlink("x", filepath.Join(dir, "l")),
		os.WriteFile(filepath.Join(dir, "holes"), []byte("x"), 0o600), os.Truncate(filepath.Join(dir, "holes"), 1<<30))
	var s Sender
	size := sendTo(t, dir, &s)
	if got := s.Count.Size(); got != size {
		t.Errorf("at the end: %d, the stream has %d", got, size)
	}
	if got := s.Count.Files(); got != 303 {
		t.Errorf("%d files", got)
	}
	var alone Count
	(&measurer{walker: &walker{Source: &s.Source}, count: &alone}).measure(context.Background())
	if got := alone.Size(); got < size-size/1000 || got > size+size/1000 {
		t.Errorf("measured %d, the stream has %d", got, size)
	}
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	var early Count
	(&measurer{walker: &walker{Source: &s.Source}, count: &early}).measure(ended)
	if early.Size() != -1 {
		t.Error("a walk that was ended knows the size")
	}
}

// TestDirectoryVanishes: a directory that is removed while it is open is named, and counts as changed.
func TestDirectoryVanishes(t *testing.T) {
	name := filepath.Join(t.TempDir(), "d")
	ok(t, os.Mkdir(name, 0o755))
	fd, err := unix.Open(name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	ok(t, err)
	var st unix.Stat_t
	ok(t, unix.Fstat(fd, &st), os.Remove(name))
	var said error
	w := &walker{Source: &Source{Report: func(err error) { said = errors.Join(said, err) }}, b: newBatch()}
	ok(t, w.directory(context.Background(), fd, "./d", "d", 0, &st))
	if said == nil || said.Error() != "./d: vanished while it was being sent" || exit.Status(said) != exit.Changed {
		t.Errorf("said %v", said)
	}
}

// TestNextHears: a sender that waits for the walk learns that its peer has gone.
func TestNextHears(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	ok(t, err)
	defer ln.Close()
	c, err := new(transfer.Dialer).Dial(context.Background(), "tcp", ln.Addr().String())
	ok(t, err)
	defer c.Close()
	far, err := ln.Accept()
	ok(t, err, far.(*net.TCPConn).SetLinger(0), far.Close())
	s := Sender{Transfer: &transfer.Transfer{Discard: true}, Dst: c.Endpoint, ticker: time.NewTicker(serveAfter)}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	out := make(chan *batch)
	defer close(out)
	if _, _, err := s.next(ctx, out); !transfer.IsReset(err) {
		t.Errorf("got %v", err)
	}
}

// TestWall: behind it nothing outside can be changed, by any call, and everything inside can. The
// process itself is free.
func TestWall(t *testing.T) {
	dir := t.TempDir()
	ok(t, os.MkdirAll(filepath.Join(dir, "dst/a"), 0o755), os.WriteFile(filepath.Join(dir, "out"), []byte("out"), 0o600))
	root, err := os.OpenRoot(filepath.Join(dir, "dst"))
	ok(t, err)
	defer root.Close()
	said := ""
	at := func(name string) string { return filepath.Join(dir, name) }
	ok(t, behindWall(root, func(s string) { said = s }, func() error {
		if !strings.HasPrefix(said, "Landlock, ABI") {
			return nil
		}
		for name, outside := range map[string]error{
			"open":   os.WriteFile(at("out"), []byte("x"), 0o600),
			"create": os.WriteFile(at("new"), []byte("x"), 0o600),
			"mkdir":  os.Mkdir(at("newdir"), 0o700),
			"unlink": os.Remove(at("out")),
			"rename": os.Rename(at("out"), at("dst/out")),
			"link":   os.Link(at("out"), at("dst/out")),
			"fifo":   unix.Mkfifo(at("fifo"), 0o600),
			"remove": os.Remove(at("dst")),
		} {
			if outside == nil {
				t.Errorf("%s outside is allowed", name)
			}
		}
		_, err := os.ReadFile(at("out"))
		return errors.Join(err, os.WriteFile(at("dst/f"), []byte("x"), 0o600), os.Link(at("dst/f"), at("dst/a/f")),
			os.Rename(at("dst/f"), at("dst/a/g")), os.Symlink("x", at("dst/l")), unix.Mkfifo(at("dst/p"), 0o600), os.Remove(at("dst/l")))
	}))
	if !strings.HasPrefix(said, "Landlock, ABI") {
		t.Skip("NOT TESTED: " + said)
	}
	ok(t, os.WriteFile(at("out"), []byte("x"), 0o600))
}

// TestTruncatedZeros cuts streams in and behind members of zeros: what is refused, what is holes, what is one byte.
func TestTruncatedZeros(t *testing.T) {
	for name, p := range map[string]part{
		"refused": {tar.TypeReg, "../x", "", strings.Repeat("\x00", 5*blockSize)}, "one byte": {tar.TypeReg, "../x", "", "\x00"},
		"a file": {tar.TypeReg, "x", "", strings.Repeat("\x00", 4*blockSize)},
	} {
		whole := archive(t, []part{{tar.TypeReg, "first", "", "x"}, p})
		for n := 3 * blockSize; n <= len(whole)-2*blockSize; n += blockSize / 2 {
			if _, err := newBed(t, false).unpack(t, whole[:n]); err == nil || !strings.Contains(err.Error(), "ended early") {
				t.Errorf("%s: %d of %d bytes: %v", name, n, len(whole), err)
			}
		}
		for _, marks := range []int{1, 2} { // one block of zeros is enough, for tar as well
			if _, err := newBed(t, false).unpack(t, whole[:len(whole)-(2-marks)*blockSize]); err != nil {
				t.Errorf("%s, %d blocks of zeros at the end: %v", name, marks, err)
			}
		}
	}
}

// TestMillions: the memory of both sides is bounded, whatever the number of names. The figures of
// millions are in ZCP_TEST_NAMES=5000000.
func TestMillions(t *testing.T) {
	names := 4_000
	if s := os.Getenv("ZCP_TEST_NAMES"); s != "" {
		_, err := fmt.Sscan(s, &names)
		ok(t, err)
	}
	r, w := io.Pipe()
	go func() {
		tw := tar.NewWriter(w)
		for i := range names {
			h := tar.Header{Typeflag: tar.TypeReg, Name: fmt.Sprintf("%d/%d", i/100_000, i), Mode: 0o644}
			if i%2 == 1 {
				h.Typeflag, h.Linkname = tar.TypeLink, fmt.Sprintf("%d/%d", (i-1)/100_000, i-1)
			}
			if err := tw.WriteHeader(&h); err != nil {
				panic(err) // a mistake in the test
			}
		}
		w.CloseWithError(tw.Close())
	}()
	pr, pw, err := os.Pipe()
	ok(t, err)
	defer pr.Close()
	go func() { io.Copy(pw, r); pw.Close() }()
	src, err := transfer.NewEndpoint(int(pr.Fd()))
	ok(t, err)
	dst := filepath.Join(t.TempDir(), "dst")
	target, err := Look(dst+"/", "dst/", false)
	ok(t, err)
	u := &Unpacker{Transfer: &transfer.Transfer{}, Src: src, Fresh: true, Count: new(Count), Report: func(err error) { t.Error(err) }, Detail: func(string) {}}
	ok(t, u.Begin(context.Background()))
	root, err := target.Open()
	ok(t, err)
	unpacked := peak(func() { ok(t, u.Run(root)) })
	ok(t, target.Commit(false))
	var s Sender
	sent := peak(func() { sendTo(t, dst, &s) })
	if s.Count.Files() != int64(names) || u.Count.Files() != int64(names) {
		t.Errorf("%d unpacked, %d sent", u.Count.Files(), s.Count.Files())
	}
	t.Logf("%d names: at most %d KiB for unpacking, %d KiB for sending", names, unpacked>>10, sent>>10)
	// Twice the table of hard links, for what is not collected yet, and as much for all else.
	if bound := int64(4 * linkBudget); unpacked > bound || sent > bound {
		t.Errorf("unpacking took %d bytes, sending %d", unpacked, sent)
	}
}
