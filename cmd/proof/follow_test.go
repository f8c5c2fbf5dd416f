package proof

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
)

// A file that grows while it is followed has the digest of all of it.
func TestFollow(t *testing.T) {
	name := filepath.Join(t.TempDir(), "f")
	w, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	r, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var there atomic.Int64
	f := Follow(SHA256, r, there.Load)
	defer f.Stop()
	want := New(SHA256)
	for i := range 100 {
		b := make([]byte, 10_000)
		for j := range b {
			b[j] = byte(i * j)
		}
		want.Write(b)
		if _, err := w.Write(b); err != nil {
			t.Fatal(err)
		}
		there.Add(int64(len(b)))
	}
	if got, err := f.Sum(context.Background(), there.Load()); err != nil || got != Hex(want) {
		t.Errorf("%s, %v, want %s", got, err, Hex(want))
	}
}

// A file that is too short has no digest, and a wait for one can be ended.
func TestFollowShort(t *testing.T) {
	r, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	all := func() int64 { return 5 }
	f := Follow(BLAKE3, r, all)
	if got, err := f.Sum(context.Background(), 5); err != io.ErrUnexpectedEOF {
		t.Errorf("%s, %v", got, err)
	}
	f = Follow(BLAKE3, r, all)
	f.Stop()
	f = Follow(BLAKE3, io.NewSectionReader(slow{}, 0, 1<<62), func() int64 { return 1 << 62 })
	cause := errors.New("over")
	ctx, cancel := context.WithCancelCause(context.Background())
	cancel(cause)
	if _, err := f.Sum(ctx, 1<<62); err != cause {
		t.Errorf("%v, want %v", err, cause)
	}
	f.Stop()
}

// slow is a file of zeros without an end.
type slow struct{}

func (slow) ReadAt(b []byte, _ int64) (int, error) { return len(b), nil }
