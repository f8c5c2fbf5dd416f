package transfer_test

import (
	"bytes"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/zcp-go/zcp/transfer"
	"github.com/zcp-go/zcp/transfer/internal/bed"
)

// forPairs runs f for every pair of ends whose source and sink are of the wanted sort.
func forPairs(t *testing.T, wanted func(source, sink) bool, f func(*testing.T, source, sink)) {
	for _, src := range sources {
		for _, dst := range sinks {
			if wanted(src, dst) {
				t.Run(src.name+" to "+dst.name, func(t *testing.T) { f(t, src, dst) })
			}
		}
	}
}

func (s source) streams() bool {
	return s.kind == transfer.Pipe || s.kind.Socket() || s.kind == transfer.Terminal
}

func (s sink) streams() bool {
	return s.kind == transfer.Pipe || s.kind.Socket() || s.kind == transfer.Terminal
}

// TestSlowSource writes a piece only after everything before it has come out at the other
// end: what is there is delivered at once, whatever marks and measures a path waits for.
func TestSlowSource(t *testing.T) {
	pieces := []int{1, 2, 4095, 4096, 1, 4097, 70000, 1, 300001, 13}
	streams := func(src source, _ sink) bool { return src.streams() }
	forPairs(t, streams, func(t *testing.T, src source, dst sink) {
		total := 0
		for _, n := range pieces {
			total += n
		}
		data := bed.Noise(total, 3)
		from, w := src.open(t, nil)
		to, r, stored := dst.open(t)
		var d *bed.Drain
		if r != nil {
			d = bed.DrainAll(r, total, nil)
		}
		var tr transfer.Transfer
		done := moving(bedContext(t), &tr, to, from, limitOf(src, data))
		at := 0
		for _, n := range pieces {
			if _, err := w.Write(data[at : at+n]); err != nil {
				t.Fatal(err)
			}
			at += n
			bed.Until(t, "a piece to come out", func() bool {
				if d != nil {
					return d.N.Load() == int64(at)
				}
				return tr.Stats.Bytes.Load() == int64(at)
			})
		}
		w.Close()
		if o := <-done; o.n != int64(total) || o.err != nil {
			t.Fatalf("moved %d, %v, want %d", o.n, o.err, total)
		}
		got := data
		if d != nil {
			got, _ = d.Wait()
		} else if stored != nil {
			got = stored(total)
		}
		if !bytes.Equal(got, data) {
			t.Errorf("%d bytes arrived that are not the %d sent", len(got), total)
		}
	})
}

// smallBuffers makes a connection hold little, so that a transfer has to wait for its reader.
func smallBuffers(t testing.TB, to *transfer.Endpoint, r *os.File) {
	t.Helper()
	if !to.Kind().Socket() {
		return
	}
	if err := unix.SetsockoptInt(to.FD(), unix.SOL_SOCKET, unix.SO_SNDBUF, 64<<10); err != nil {
		t.Fatal(err)
	}
	rc := bed.Must(r.SyscallConn())(t)
	if err := rc.Control(func(fd uintptr) {
		_ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, 64<<10) // only makes the test larger where refused
	}); err != nil {
		t.Fatal(err)
	}
}

// large is more than any pair of the bed holds between its ends.
const large = 1500007

// TestSlowSink reads nothing before the transfer has to wait, and then odd little pieces.
func TestSlowSink(t *testing.T) {
	streams := func(src source, dst sink) bool { return dst.streams() && src.fixed == "" }
	forPairs(t, streams, func(t *testing.T, src source, dst sink) {
		data := dataFor(t, src, large)
		from, w := src.open(t, data)
		if w != nil {
			go feed(w, data, src.limit)
		}
		to, r, _ := dst.open(t)
		smallBuffers(t, to, r)
		tr := transfer.Transfer{PipeSize: pipeSize}
		done := moving(bedContext(t), &tr, to, from, limitOf(src, data))
		waitsFor(t, &tr, transfer.Destination)
		d := bed.DrainAll(r, len(data), func(n int64) int { return 1 + int(n*7919)%30011 })
		if o := <-done; o.n != large || o.err != nil {
			t.Fatalf("moved %d, %v, want %d", o.n, o.err, large)
		}
		if got, _ := d.Wait(); !bytes.Equal(got, data) {
			t.Errorf("%d bytes arrived that are not the %d sent", len(got), large)
		}
		if tr.Stats.WaitDst.Load() == 0 {
			t.Error("no time was spent waiting for the destination")
		}
	})
}
