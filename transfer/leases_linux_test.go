package transfer

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/zcp-go/zcp/transfer/internal/bed"
)

// A source is watched once, whatever the number of its pieces: the lease was asked for once for each, and
// an archive of 4,000 files took 26 times as long to unpack as one of 1,000.
func TestOneLeaseForAllPieces(t *testing.T) {
	const pieces, piece = 50, 4096
	path := filepath.Join(t.TempDir(), "archive")
	bed.MustDo(t, os.WriteFile(path, make([]byte, pieces*piece), 0o600))
	fd := bed.Must(unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0))(t)
	defer unix.Close(fd)
	src := bed.Must(NewEndpoint(fd))(t)
	null := bed.Must(os.OpenFile(os.DevNull, os.O_WRONLY, 0))(t)
	defer null.Close()
	dst := bed.Must(NewEndpoint(int(null.Fd())))(t)
	var tr Transfer
	for range pieces {
		bed.Must(tr.Move(t.Context(), dst, src, piece))(t)
	}
	if !src.guard.held {
		t.Skip("no lease is granted here")
	}
	if n := len(tr.leases); n != 1 {
		t.Errorf("%d leases are looked after for one source", n)
	}
}
