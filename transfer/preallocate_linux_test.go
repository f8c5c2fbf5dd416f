package transfer_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/zcp-go/zcp/transfer"
	"github.com/zcp-go/zcp/transfer/internal/bed"
)

// TestAllocateFirst fills new files from a socket. The blocks of a large one are allocated
// when they are written, and no others; where it replaces another it goes to the disk at once.
func TestAllocateFirst(t *testing.T) {
	dir := t.TempDir()
	var fs unix.Statfs_t
	bed.MustDo(t, unix.Statfs(dir, &fs))
	if fs.Type != unix.EXT4_SUPER_MAGIC {
		bed.SkipLoudly(t, "this folder is not on ext4")
	}
	const first, slack = 4 << 20, 256 << 10 // what is delayed as ever; blocks of the file's own tree
	for _, size := range []int{20<<20 + 5, 100005, 0} {
		f := bed.Must(os.Create(filepath.Join(dir, "f")))(t)
		dst := bed.Must(transfer.Own(bed.Must(unix.Dup(int(f.Fd())))(t)))(t)
		dst.Preallocate()
		src, w := newTCP(t)
		data := bed.Noise(size, 3)
		peer := far(t, w)
		go func() {
			_, _ = peer.Write(data) // what arrives is looked at
			peer.Close()
		}()
		var tr transfer.Transfer
		if n, err := tr.Move(bedContext(t), dst, own(t, src), -1); n != int64(size) || err != nil {
			t.Fatal(n, err)
		}
		if n := flagged(t, f, extentDelayed); n > first {
			t.Errorf("the allocation of %d bytes of %d is delayed", n, size)
		}
		dst.StartWriteback()
		if size > first {
			bed.Until(t, "the file to be written out", func() bool { return flagged(t, f, extentUnwritten) == 0 })
		}
		bed.MustDo(t, dst.Close())
		bed.MustDo(t, f.Sync()) // what is delayed is allocated now
		var st unix.Stat_t
		bed.MustDo(t, unix.Fstat(int(f.Fd()), &st))
		if spare := st.Blocks*512 - int64(size); spare > slack || spare < 0 {
			t.Errorf("%d bytes more than the %d are allocated", spare, size)
		}
		if got := bed.Must(os.ReadFile(f.Name()))(t); !bytes.Equal(got, data) {
			t.Errorf("%d bytes that are not the %d sent", len(got), len(data))
		}
		f.Close()
	}
}

// What FS_IOC_FIEMAP says of an extent (linux/fiemap.h).
const (
	extentDelayed   = 0x4
	extentUnwritten = 0x800
)

// flagged returns how many bytes of a file lie in extents with a flag.
func flagged(t testing.TB, f *os.File, flag uint32) (n uint64) {
	t.Helper()
	const fiemap = 0xc020660b // FS_IOC_FIEMAP
	type extent struct {
		_, _, length uint64
		_            [2]uint64
		flags        uint32
		_            [3]uint32
	}
	var ask struct {
		start, length        uint64
		flags, mapped, count uint32
		_                    uint32
		extents              [500]extent
	}
	ask.length, ask.count = 1<<62, uint32(len(ask.extents))
	if _, _, e := unix.Syscall(unix.SYS_IOCTL, f.Fd(), fiemap, uintptr(unsafe.Pointer(&ask))); e != 0 {
		t.Fatal(e)
	}
	for _, x := range ask.extents[:ask.mapped] {
		if x.flags&flag != 0 {
			n += x.length
		}
	}
	return n
}
