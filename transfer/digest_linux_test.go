package transfer_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/zcp-go/zcp/transfer"
	"github.com/zcp-go/zcp/transfer/internal/bed"
)

// TestDigest is the pairs once more: the digest is that of the bytes, whichever path they went by.
func TestDigest(t *testing.T) {
	for _, src := range sources {
		for _, dst := range sinks {
			if src.twin || dst.twin {
				continue
			}
			for _, n := range sizesOf(src) {
				t.Run(fmt.Sprint(src.name, "/", dst.name, "/", n), func(t *testing.T) { digestPair(t, src, dst, n) })
			}
		}
	}
}

func digestPair(t *testing.T, src source, dst sink, n int) {
	data := dataFor(t, src, n)
	from, w := src.open(t, data)
	to, r, _ := dst.open(t)
	if w != nil {
		go feed(w, data, src.limit)
	}
	if r != nil {
		want := -1
		if dst.endless {
			want = len(data)
		}
		bed.DrainAll(r, want, nil)
	}
	tr := transfer.Transfer{PipeSize: pipeSize, Digest: sha256.New()}
	if moved, err := tr.Move(bedContext(t), to, from, limitOf(src, data)); err != nil || moved != int64(len(data)) {
		t.Fatalf("moved %d, %v, want %d", moved, err, len(data))
	}
	if want := sha256.Sum256(data); !bytes.Equal(tr.Digest.Sum(nil), want[:]) {
		t.Errorf("the digest of %d bytes is wrong; %v ran", len(data), tr.Stats.Paths())
	}
	if refusing.inMiddle() || refusing.again() || len(data) == 0 {
		return
	}
	want := transfer.SplicePipe
	switch {
	case src.name == "file" && dst.kind == transfer.TCP && len(data) >= 256<<10:
	case src.name == "file" && dst.kind.Socket():
		want = transfer.Sendfile
	case !(src.kind == transfer.Pipe || src.kind.Socket()) || dst.kind == transfer.Terminal || dst.name == "appended" || refusing.path(want):
		return
	}
	if !refusing.path(want) && !slices.Equal(tr.Stats.Paths(), []transfer.Path{want}) {
		t.Errorf("%v ran, want %v: the digest must not cost the path", tr.Stats.Paths(), want)
	}
}

// How long a slow digest has held up the mover is counted, and a fast one is not blamed.
func TestDigestWaits(t *testing.T) {
	src, _ := fileSource(t, bed.Noise(1<<20, 3))
	r, w := newPipe(t)
	bed.DrainAll(far(t, r), -1, nil)
	h := &slow{Hash: sha256.New()}
	tr := transfer.Transfer{Digest: h}
	if _, err := tr.Move(bedContext(t), own(t, w), src, -1); err != nil {
		t.Fatal(err)
	}
	if waited := time.Duration(tr.Stats.WaitHash.Load()); waited < h.slept/2 {
		t.Errorf("waited %v for a digest that has taken %v more", waited, h.slept)
	}
	if n := tr.Stats.Digested.Load(); n != 1<<20 {
		t.Errorf("%d bytes hashed", n)
	}
}

// A slow is a hash that takes its time.
type slow struct {
	hash.Hash
	slept time.Duration
}

func (h *slow) Write(b []byte) (int, error) {
	began := time.Now()
	time.Sleep(20 * time.Millisecond)
	h.slept += time.Since(began)
	return h.Hash.Write(b)
}

// What was there before an append is not in the digest of what is read back.
func TestDigestReadBack(t *testing.T) {
	for _, flags := range []int{0, unix.O_APPEND} {
		path, data := filepath.Join(t.TempDir(), "stored"), bed.Noise(3<<20+5, 9)
		if err := os.WriteFile(path, []byte("before"), 0o600); err != nil {
			t.Fatal(err)
		}
		to := openFor(t, path, unix.O_RDWR|flags)
		bed.Must(unix.Seek(to.FD(), 0, unix.SEEK_END))(t)
		a, b := newTCP(t)
		go feed(far(t, b), data, false)
		tr := transfer.Transfer{PipeSize: pipeSize, Digest: sha256.New(), ReadBack: true}
		if _, err := tr.Move(bedContext(t), to, own(t, a), -1); err != nil {
			t.Fatal(err)
		}
		if want := sha256.Sum256(data); !bytes.Equal(tr.Digest.Sum(nil), want[:]) {
			t.Errorf("flags %x: the digest is not that of what was stored", flags)
		}
		if got := bed.Must(os.ReadFile(path))(t); !bytes.Equal(got, append([]byte("before"), data...)) {
			t.Error("the file does not hold what was sent")
		}
	}
}

// What a disk or a memory changes between the write and the read back is in the digest.
func TestDigestReadBackFlipped(t *testing.T) {
	path := filepath.Join(t.TempDir(), "stored")
	data := bed.Noise(lostBytes, 1)
	to := openFor(t, path, unix.O_RDWR|unix.O_CREAT)
	a, b := newTCP(t)
	go feed(far(t, b), data, false)
	h := &flipping{t: t, path: path, at: lostBytes - 1, Hash: sha256.New()}
	tr := transfer.Transfer{PipeSize: pipeSize, Digest: h, ReadBack: true}
	if _, err := tr.Move(bedContext(t), to, own(t, a), -1); err != nil {
		t.Fatal(err)
	}
	stored := bed.Must(os.ReadFile(path))(t)
	if want := sha256.Sum256(stored); bytes.Equal(stored, data) || !bytes.Equal(h.Sum(nil), want[:]) {
		t.Error("the digest is not that of the file with the changed bit")
	}
}

// A flipping is a hash that changes a bit of a file when it has got its first bytes.
type flipping struct {
	hash.Hash
	t    *testing.T
	path string
	at   int64
	done bool
}

func (h *flipping) Write(b []byte) (int, error) {
	if !h.done {
		h.done = true
		f := bed.Must(os.OpenFile(h.path, os.O_RDWR, 0))(h.t)
		bed.Until(h.t, "the byte to change", func() bool { return bed.Must(f.Stat())(h.t).Size() > h.at })
		c := []byte{0}
		bed.Must(f.ReadAt(c, h.at))(h.t)
		c[0] ^= 1
		bed.Must(f.WriteAt(c, h.at))(h.t)
		f.Close()
	}
	return h.Hash.Write(b)
}

// A file that cannot be read back ends the transfer, and is not taken for one that was.
func TestDigestReadBackFails(t *testing.T) {
	path := filepath.Join(t.TempDir(), "stored")
	to := openFor(t, path, unix.O_RDWR|unix.O_CREAT)
	a, b := newTCP(t)
	w := far(t, b)
	tr := transfer.Transfer{PipeSize: pipeSize, Digest: &truncating{t: t, path: path, Hash: sha256.New()}, ReadBack: true}
	c := moving(bedContext(t), &tr, to, own(t, a), -1)
	go feed(w, bed.Noise(lostBytes, 1), false)
	var e *transfer.Error
	if o := <-c; !errors.As(o.err, &e) || e.Side != transfer.Destination {
		t.Errorf("%v, want an error of the destination", o.err)
	}
}

// lostBytes are more than the digest reads at once, and fewer than it may be behind.
const lostBytes = 300_000

// A truncating is a hash that empties a file when everything was written: what a disk loses.
type truncating struct {
	hash.Hash
	t    *testing.T
	path string
	done bool
}

func (h *truncating) Write(b []byte) (int, error) {
	if !h.done && len(b) > 0 {
		h.done = true
		bed.Until(h.t, "everything to be written", func() bool {
			fi, err := os.Stat(h.path)
			return err == nil && fi.Size() == lostBytes
		})
		if err := os.Truncate(h.path, 0); err != nil {
			return 0, err
		}
	}
	return h.Hash.Write(b)
}

// Bytes that come from memory are in the digest as well, in their turn.
func TestDigestOfWrite(t *testing.T) {
	to, r, _ := farSink(newPipe)(t)
	bed.DrainAll(r, -1, nil)
	tr := transfer.Transfer{PipeSize: pipeSize, Digest: sha256.New()}
	head, body := bed.Noise(70000, 1), bed.Noise(300000, 2)
	if _, err := tr.Write(bedContext(t), to, head); err != nil {
		t.Fatal(err)
	}
	if _, err := tr.Move(bedContext(t), to, openFor(t, fileWith(t, body), unix.O_RDONLY), -1); err != nil {
		t.Fatal(err)
	}
	if want := sha256.Sum256(append(head, body...)); !bytes.Equal(tr.Digest.Sum(nil), want[:]) {
		t.Error("the digest is not that of both in their order")
	}
}
