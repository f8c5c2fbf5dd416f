package transfer_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/zcp-go/zcp/transfer"
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
		data := noise(total, 3)
		from, w := src.open(t, nil)
		to, r, stored := dst.open(t)
		var d *drain
		if r != nil {
			d = drainAll(r, total, nil)
		}
		var tr transfer.Transfer
		done := moving(bedContext(t), &tr, to, from, limitOf(src, data))
		at := 0
		for _, n := range pieces {
			if _, err := w.Write(data[at : at+n]); err != nil {
				t.Fatal(err)
			}
			at += n
			until(t, "a piece to come out", func() bool {
				if d != nil {
					return d.n.Load() == int64(at)
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
			got, _ = d.wait()
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
	rc := must(r.SyscallConn())(t)
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
		d := drainAll(r, len(data), func(n int64) int { return 1 + int(n*7919)%30011 })
		if o := <-done; o.n != large || o.err != nil {
			t.Fatalf("moved %d, %v, want %d", o.n, o.err, large)
		}
		if got, _ := d.wait(); !bytes.Equal(got, data) {
			t.Errorf("%d bytes arrived that are not the %d sent", len(got), large)
		}
		if tr.Stats.WaitDst.Load() == 0 {
			t.Error("no time was spent waiting for the destination")
		}
	})
}

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
	fd := must(unix.FcntlInt(uintptr(e.FD()), unix.F_DUPFD_CLOEXEC, 0))(t)
	if e.Kind().Socket() || e.Kind() == transfer.Pipe {
		return must(io.ReadAll(far(t, fd)))(t)
	}
	f := os.NewFile(uintptr(fd), "what is left")
	defer f.Close()
	if e.Kind() == transfer.Char {
		return nil
	}
	return must(io.ReadAll(io.LimitReader(f, size-must(f.Seek(0, io.SeekCurrent))(t))))(t)
}

// TestDyingSource breaks off after bytes that were acknowledged: they are delivered first.
func TestDyingSource(t *testing.T) {
	streams := func(src source, _ sink) bool { return src.streams() }
	forPairs(t, streams, func(t *testing.T, src source, dst sink) {
		data := noise(200003, 5)
		from, w := src.open(t, nil)
		to, r, stored := dst.open(t)
		var d *drain
		if r != nil {
			d = drainAll(r, len(data), nil)
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
			got, _ = d.wait()
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
	rc := must(w.SyscallConn())(t)
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
		check(func(fd int) error { dies(t, fd); return nil })
		until(t, "acknowledgement", func() (acked bool) {
			check(func(fd int) error {
				out, err := unix.IoctlGetInt(fd, unix.SIOCOUTQ)
				acked = out == 0
				return err
			})
			return acked
		})
	case transfer.Unix: // whoever closes with bytes unread breaks off
		if _, err := unix.Write(from.FD(), []byte{1}); err != nil {
			t.Fatal(err)
		}
	case transfer.Terminal: // what its reader has not taken is dropped when it hangs up
		until(t, "the terminal to be read", func() bool { return tr.Stats.Bytes.Load() == n })
	}
}

// TestBeyond4GiB moves a hole with islands, so that a count or an offset of 32 bits shows.
func TestBeyond4GiB(t *testing.T) {
	if testing.Short() {
		t.Skip("moves four GiB")
	}
	const size = 4<<30 + 12345
	islands := []int64{0, 4<<30 - 7, size - 5000}
	island := noise(5000, 4)
	fd := must(unix.MemfdCreate("sparse", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING))(t)
	for _, at := range islands {
		must(unix.Pwrite(fd, island, at))(t)
	}
	must(unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, unix.F_SEAL_WRITE|unix.F_SEAL_SHRINK|unix.F_SEAL_GROW))(t)
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
	if n, _ := tr.Stats.Path(transfer.Sendfile); n != size {
		t.Errorf("%d bytes by sendfile, want %d", n, int64(size))
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
