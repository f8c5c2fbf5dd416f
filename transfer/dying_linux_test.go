package transfer_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/zcp-go/zcp/transfer"
	"github.com/zcp-go/zcp/transfer/internal/bed"
)

// TestDyingSink reads a part and goes away. The error is the destination's, what was read
// is a prefix, and what was taken from the source is delivered, counted as lost, or still there.
func TestDyingSink(t *testing.T) {
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
		got := make([]byte, 300007)
		if _, err := io.ReadFull(r, got); err != nil {
			t.Fatal(err)
		}
		r.Close()
		o := <-done
		var e *transfer.Error
		if !errors.As(o.err, &e) || e.Side != transfer.Destination || !goneAway(e.Err) {
			t.Errorf("error %v, want that the destination's reader went away", o.err)
		}
		if !bytes.Equal(got, data[:len(got)]) || o.n < int64(len(got)) {
			t.Errorf("the %d bytes that were read of %d moved are not the first ones", len(got), o.n)
		}
		if src.limit && src.streams() {
			return // how much is still there cannot be told
		}
		taken := o.n + tr.Stats.Lost.Load()
		rest := whatIsLeft(t, from, int64(len(data)))
		if !src.zeros && !bytes.Equal(rest, data[min(taken, int64(len(data))):]) {
			t.Errorf("%d delivered and %d lost, but %d are left of %d", o.n, tr.Stats.Lost.Load(), len(rest), len(data))
		}
	})
}

func goneAway(err error) bool {
	return err == unix.EPIPE || err == unix.ECONNRESET || err == unix.EIO // the last is a terminal's
}

// whatIsLeft reads a source to its end, or to the size that it was given.
func whatIsLeft(t testing.TB, e *transfer.Endpoint, size int64) []byte {
	t.Helper()
	fd := bed.Must(unix.FcntlInt(uintptr(e.FD()), unix.F_DUPFD_CLOEXEC, 0))(t)
	if e.Kind().Socket() || e.Kind() == transfer.Pipe {
		return bed.Must(io.ReadAll(far(t, fd)))(t)
	}
	f := os.NewFile(uintptr(fd), "what is left")
	defer f.Close()
	if e.Kind() == transfer.Char {
		return nil
	}
	return bed.Must(io.ReadAll(io.LimitReader(f, size-bed.Must(f.Seek(0, io.SeekCurrent))(t))))(t)
}

// TestDyingSource breaks off after bytes that were acknowledged: they are delivered first.
func TestDyingSource(t *testing.T) {
	streams := func(src source, _ sink) bool { return src.streams() }
	forPairs(t, streams, func(t *testing.T, src source, dst sink) {
		data := bed.Noise(200003, 5)
		from, w := src.open(t, nil)
		to, r, stored := dst.open(t)
		var d *bed.Drain
		if r != nil {
			d = bed.DrainAll(r, len(data), nil)
		}
		var tr transfer.Transfer
		done := moving(bedContext(t), &tr, to, from, -1)
		if _, err := w.Write(data); err != nil {
			t.Fatal(err)
		}
		breakOff(t, &tr, from, w, int64(len(data)))
		o := <-done
		var e *transfer.Error
		if src.kind.Socket() != (errors.As(o.err, &e) && e.Side == transfer.Source && e.Err == unix.ECONNRESET) || !src.kind.Socket() && o.err != nil {
			t.Errorf("error %v", o.err)
		}
		got := data
		if d != nil {
			got, _ = d.Wait()
		} else if stored != nil {
			got = stored(len(data))
		}
		if o.n != int64(len(data)) || !bytes.Equal(got, data) {
			t.Errorf("%d moved and %d arrived of %d", o.n, len(got), len(data))
		}
	})
}

// breakOff ends a stream from the writer's side as a crash would, once the bytes are out of its hands.
func breakOff(t testing.TB, tr *transfer.Transfer, from *transfer.Endpoint, w *os.File, n int64) {
	t.Helper()
	defer w.Close()
	rc := bed.Must(w.SyscallConn())(t)
	check := func(f func(fd int) error) {
		if err := rc.Control(func(fd uintptr) {
			if err := f(int(fd)); err != nil {
				t.Error(err)
			}
		}); err != nil {
			t.Fatal(err)
		}
	}
	switch from.Kind() {
	case transfer.TCP:
		check(func(fd int) error { bed.Dies(t, fd); return nil })
		bed.Until(t, "acknowledgement", func() (acked bool) {
			check(func(fd int) error {
				out, err := unix.IoctlGetInt(fd, unix.SIOCOUTQ)
				acked = out == 0
				return err
			})
			return acked
		})
	case transfer.Unix: // a peer that closes with bytes unread breaks off
		if _, err := unix.Write(from.FD(), []byte{1}); err != nil {
			t.Fatal(err)
		}
	case transfer.Terminal: // what its reader has not taken is dropped when it hangs up
		bed.Until(t, "the terminal to be read", func() bool { return tr.Stats.Bytes.Load() == n })
	}
}
