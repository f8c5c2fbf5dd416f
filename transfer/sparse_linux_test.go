package transfer_test

import (
	"bytes"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/zcp-go/zcp/transfer"
	"github.com/zcp-go/zcp/transfer/internal/bed"
)

// TestBeyond4GiB moves a hole with islands, so that a count or an offset of 32 bits shows.
func TestBeyond4GiB(t *testing.T) {
	if testing.Short() {
		t.Skip("moves four GiB")
	}
	const size = 4<<30 + 12345
	islands := []int64{0, 4<<30 - 7, size - 5000}
	island := bed.Noise(5000, 4)
	fd := bed.Must(unix.MemfdCreate("sparse", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING))(t)
	for _, at := range islands {
		bed.Must(unix.Pwrite(fd, island, at))(t)
	}
	bed.Must(unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, unix.F_SEAL_WRITE|unix.F_SEAL_SHRINK|unix.F_SEAL_GROW))(t)
	from := own(t, fd)
	a, b := newTCP(t)
	to := own(t, a)
	defer unix.Close(b)
	var tr transfer.Transfer
	done := moving(bedContext(t), &tr, to, from, -1)
	at := int64(0)
	for _, next := range islands {
		swallow(t, b, next-at)
		got := make([]byte, len(island))
		for n := 0; n < len(got); {
			m, err := unix.Read(b, got[n:])
			if err != nil || m == 0 {
				t.Fatal("end after", next+int64(n), err)
			}
			n += m
		}
		if !bytes.Equal(got, island) {
			t.Errorf("the bytes at %d are not those", next)
		}
		at = next + int64(len(island))
	}
	if o := <-done; o.n != size || o.err != nil {
		t.Errorf("moved %d, %v, want %d", o.n, o.err, int64(size))
	}
	if n, _ := tr.Stats.Path(transfer.SplicePipe); n != size {
		t.Errorf("%d bytes by splice through a pipe, want %d", n, int64(size))
	}
}

// swallow takes n bytes from a TCP socket without looking at them (MSG_TRUNC, tcp(7)).
func swallow(t testing.TB, fd int, n int64) {
	t.Helper()
	b := make([]byte, 1<<20)
	for n > 0 {
		m, _, err := unix.Recvfrom(fd, b[:min(n, int64(len(b)))], unix.MSG_TRUNC)
		if err != nil || m == 0 {
			t.Fatalf("end with %d bytes missing, %v", n, err)
		}
		n -= int64(m)
	}
}
