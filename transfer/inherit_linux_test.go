package transfer_test

import (
	"bytes"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/zcp-go/zcp/transfer"
	"github.com/zcp-go/zcp/transfer/internal/bed"
)

// inherited makes endpoints of descriptors that others share, and that block: whatever is done
// with them, their flags stay as they are, and they stay open.
type inherited struct {
	fd, flags int
}

func inherit(t testing.TB, e *transfer.Endpoint) (*transfer.Endpoint, inherited) {
	t.Helper()
	fd := bed.Must(unix.FcntlInt(uintptr(e.FD()), unix.F_DUPFD_CLOEXEC, 0))(t)
	t.Cleanup(func() { unix.Close(fd) })
	bed.MustDo(t, e.Close())
	bed.MustDo(t, unix.SetNonblock(fd, false))
	i := inherited{fd, bed.Must(unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0))(t)}
	return bed.Must(transfer.Inherit(fd))(t), i
}

func (i inherited) untouched(t testing.TB) {
	t.Helper()
	if flags := bed.Must(unix.FcntlInt(uintptr(i.fd), unix.F_GETFL, 0))(t); flags != i.flags {
		t.Errorf("flags %#x, were %#x", flags, i.flags)
	}
}

// inheritedWay is the path for ends that block: a splice would wait in the kernel for a blocking
// socket with a user's pipe locked, or beyond the reach of the context.
func inheritedWay(src source, dst sink, n int) transfer.Path {
	switch way := ways(src, dst, n)[0]; {
	case dst.kind.Socket():
		return transfer.ReadWrite
	case src.kind.Socket() && dst.kind == transfer.Pipe:
		return transfer.SplicePipe
	default:
		return way
	}
}

// TestInheritedPairs moves every pair of descriptors that the process might be born with.
func TestInheritedPairs(t *testing.T) {
	several := func(src source, dst sink) bool { return !src.twin && !dst.twin }
	forPairs(t, several, func(t *testing.T, src source, dst sink) {
		data := dataFor(t, src, 300001)
		from, w := src.open(t, data)
		to, r, stored := dst.open(t)
		from, fromFD := inherit(t, from)
		to, toFD := inherit(t, to)
		if w != nil {
			go feed(w, data, src.limit)
		}
		var d *bed.Drain
		if r != nil {
			d = bed.DrainAll(r, len(data), nil)
		}
		tr := transfer.Transfer{PipeSize: pipeSize}
		n, err := tr.Move(bedContext(t), to, from, limitOf(src, data))
		if n != int64(len(data)) || err != nil {
			t.Fatalf("moved %d, %v, want %d", n, err, len(data))
		}
		got := data
		if d != nil {
			got, _ = d.Wait()
		} else if stored != nil {
			got = stored(len(data))
		}
		if !bytes.Equal(got, data) {
			t.Errorf("%d bytes arrived that are not the %d sent", len(got), len(data))
		}
		from.Verify()
		want := inheritedWay(src, dst, len(data))
		if b, _ := tr.Stats.Path(want); b == 0 {
			t.Errorf("%v ran, want %v; fallbacks %v", tr.Stats.Paths(), want, tr.Stats.Fallbacks())
		}
		bed.MustDo(t, from.Close())
		bed.MustDo(t, to.Close())
		fromFD.untouched(t)
		toFD.untouched(t)
	})
}
