package transfer_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/zcp-go/zcp/transfer"
	"github.com/zcp-go/zcp/transfer/internal/bed"
)

// smallDisk mounts a file system of size bytes in memory, or skips the test.
func smallDisk(t testing.TB, size string) string {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size="+size); err != nil {
		bed.SkipLoudly(t, "no file system may be mounted: "+err.Error())
	}
	t.Cleanup(func() { bed.MustDo(t, unix.Unmount(dir, unix.MNT_DETACH)) })
	return dir
}

// TestDiskFillsUp sends more than a file system has room for, from every source: ENOSPC of the
// destination, what is counted is in the file, and what is neither there nor counted as lost
// is still in the source.
func TestDiskFillsUp(t *testing.T) {
	disk := smallDisk(t, "500k")
	for _, memory := range []bool{false, true} {
		for _, src := range sources {
			if src.fixed != "" {
				continue
			}
			name := map[bool]string{false: src.name, true: src.name + ", through memory"}[memory]
			t.Run(name, func(t *testing.T) {
				data := dataFor(t, src, large)
				from, w := src.open(t, data)
				if w != nil {
					go feed(w, data, src.limit)
				}
				path := filepath.Join(disk, "dst")
				defer os.Remove(path)
				to := openFor(t, path, unix.O_WRONLY|unix.O_CREAT)
				tr := transfer.Transfer{PipeSize: pipeSize, NoSplice: memory}
				n, err := tr.Move(bedContext(t), to, from, limitOf(src, data))
				var e *transfer.Error
				if !errors.As(err, &e) || e.Side != transfer.Destination || e.Err != unix.ENOSPC {
					t.Errorf("got %v, want ENOSPC of the destination", err)
				}
				got := bed.Must(os.ReadFile(path))(t)
				if n != int64(len(got)) || n == 0 || !bytes.HasPrefix(data, got) {
					t.Errorf("%d bytes are said to be delivered, %d are there", n, len(got))
				}
				if src.limit && src.streams() || src.zeros {
					return // how much is still there cannot be told
				}
				taken := n + tr.Stats.Lost.Load()
				if rest := whatIsLeft(t, from, int64(len(data))); !bytes.Equal(rest, data[taken:]) {
					t.Errorf("%d delivered and %d lost, but %d are left of %d", n, tr.Stats.Lost.Load(), len(rest), len(data))
				}
			})
		}
	}
}

// TestDeviceEnds writes to a block device until there is no more of it.
func TestDeviceEnds(t *testing.T) {
	dev := openFor(t, loopDevice(t, 1), unix.O_WRONLY)
	bed.Must(unix.Seek(dev.FD(), loopSize-200000, io.SeekStart))(t)
	zero := openFor(t, "/dev/zero", unix.O_RDONLY)
	n, err := new(transfer.Transfer).Move(bedContext(t), dev, zero, -1)
	var e *transfer.Error
	if n != 200000 || !errors.As(err, &e) || e.Side != transfer.Destination || e.Err != unix.ENOSPC {
		t.Errorf("moved %d, %v, want 200000 and ENOSPC of the destination", n, err)
	}
}
