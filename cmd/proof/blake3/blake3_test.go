package blake3

import (
	"bytes"
	"fmt"
	"hash"
	"math/rand/v2"
	"testing"

	"github.com/zeebo/blake3"
)

// noise is what is hashed.
func noise(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{15}).Read(b) // never fails (math/rand/v2)
	return b
}

// lengths are those around blocks, chunks, 16 chunks, a group and the largest group, and odd ones.
func lengths() (all []int) {
	for _, n := range []int{0, 64, 1024, 2048, 3072, 16 << 10, 17 << 10, 32 << 10, 64 << 10, 96 << 10, 128 << 10, 192 << 10, 256 << 10, 320 << 10, 512 << 10, 1 << 20} {
		for _, d := range []int{-1, 0, 1} {
			all = append(all, max(n+d, 0))
		}
	}
	return append(all, 100, 5000, 77777, 333333, 1234567)
}

// Every length, however it is cut, has the hash that the library computes; a sum in between changes nothing.
func TestNew(t *testing.T) {
	b := noise(2 << 20)
	for _, n := range lengths() {
		want := blake3.Sum256(b[:n])
		for _, cut := range []int{1 << 30, 256 << 10, 64 << 10, 65483, 16 << 10, 4096, 1000} {
			h := New()
			for rest := b[:n]; len(rest) > 0; {
				m := min(cut, len(rest))
				_, _ = h.Write(rest[:m])
				if rest = rest[m:]; m == 65483 {
					h.Sum(nil)
				}
			}
			if got := h.Sum([]byte("x")); got[0] != 'x' || !bytes.Equal(got[1:], want[:]) {
				t.Errorf("%d bytes in pieces of %d: %x, want %x", n, cut, got[1:], want)
			}
		}
	}
}

// A hash that is used again begins anew.
func TestReset(t *testing.T) {
	b := noise(100_000)
	h := New()
	_, _ = h.Write(b)
	h.Reset()
	_, _ = h.Write(b[:1000])
	if got, want := h.Sum(nil), blake3.Sum256(b[:1000]); !bytes.Equal(got, want[:]) {
		t.Errorf("%x, want %x", got, want)
	}
}

// Any bytes in any three pieces.
func FuzzNew(f *testing.F) {
	f.Add(uint32(70_000), uint32(1024), uint32(65_536))
	b := noise(4 << 20)
	f.Fuzz(func(t *testing.T, n, i, j uint32) {
		all := b[:n%uint32(len(b)+1)]
		i, j = i%uint32(len(all)+1), j%uint32(len(all)+1)
		i, j = min(i, j), max(i, j)
		h := New()
		for _, p := range [][]byte{all[:i], all[i:j], all[j:]} {
			_, _ = h.Write(p)
		}
		if got, want := h.Sum(nil), blake3.Sum256(all); !bytes.Equal(got, want[:]) {
			t.Errorf("%d bytes cut at %d and %d: %x, want %x", len(all), i, j, got, want)
		}
	})
}

// BenchmarkNew compares the widest instructions of this processor with the library.
func BenchmarkNew(b *testing.B) {
	data := noise(256 << 10)
	for _, bc := range []struct {
		name string
		hash hash.Hash
	}{{"widest", New()}, {"library", blake3.New()}} {
		for _, piece := range []int{4 << 10, 64 << 10, 256 << 10} {
			b.Run(fmt.Sprint(bc.name, "/", piece>>10, "KiB"), func(b *testing.B) {
				b.SetBytes(int64(piece))
				for b.Loop() {
					_, _ = bc.hash.Write(data[:piece])
				}
			})
		}
	}
}
