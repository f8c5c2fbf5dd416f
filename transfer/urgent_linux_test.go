package transfer_test

import (
	"bytes"
	"fmt"
	"io"
	"testing"

	"github.com/zcp-go/zcp/transfer"
	"github.com/zcp-go/zcp/transfer/internal/bed"
)

// TestUrgentByte sends an urgent byte at the start, in the middle and at the end of a stream,
// all at once and in lock step: every other byte goes on, and the end is the end.
func TestUrgentByte(t *testing.T) {
	const half = 100003
	for _, memory := range []bool{false, true} {
		for _, dst := range sinks {
			for _, at := range []int{0, 1, half, 2 * half} {
				for _, slow := range []bool{false, true} {
					t.Run(fmt.Sprintf("%s at %d memory %v slow %v", dst.name, at, memory, slow), func(t *testing.T) {
						urgentByte(t, dst, 2*half, at, memory, slow)
					})
				}
			}
		}
	}
}

func urgentByte(t *testing.T, dst sink, size, at int, memory, slow bool) {
	data := bed.Noise(size, 6)
	r, w := newTCP(t)
	from, writer := own(t, r), far(t, w)
	to, reader, stored := dst.open(t)
	var d *bed.Drain
	if reader != nil {
		d = bed.DrainAll(reader, size, nil)
	}
	tr := transfer.Transfer{NoSplice: memory}
	send := func(piece []byte) {
		if _, err := writer.Write(piece); err != nil {
			t.Error(err)
		}
	}
	out := func(n int) {
		if slow {
			bed.Until(t, "what came before the mark to come out", func() bool { return tr.Stats.Bytes.Load() == int64(n) })
		}
	}
	var done <-chan outcome
	if slow {
		done = moving(bedContext(t), &tr, to, from, -1)
	}
	send(data[:at])
	out(at)
	bed.Urge(t, writer)
	out(at)
	send(data[at:])
	out(size)
	writer.Close()
	if !slow {
		done = moving(bedContext(t), &tr, to, from, -1)
	}
	if o := <-done; o.err != nil || o.n != int64(size) {
		t.Errorf("moved %d, %v, want %d", o.n, o.err, size)
	}
	got := data
	if d != nil {
		got, _ = d.Wait()
	} else if stored != nil {
		got = stored(size)
	}
	if !bytes.Equal(got, data) {
		t.Errorf("%d bytes arrived that are not the %d sent", len(got), size)
	}
}

// TestManyUrgentBytes goes back to the kernel's path after each mark.
func TestManyUrgentBytes(t *testing.T) {
	data := bed.Noise(8<<20, 8)
	r, w := newTCP(t)
	from, writer := own(t, r), far(t, w)
	to, reader, _ := farSink(newPipe)(t)
	d := bed.DrainAll(reader, len(data), nil)
	var tr transfer.Transfer
	done := moving(bedContext(t), &tr, to, from, -1)
	const step = 2 << 20
	for at := 0; at < len(data); at += step {
		bed.Must(writer.Write(data[at : at+step]))(t)
		bed.Until(t, "a piece to come out", func() bool { return d.N.Load() == int64(at+step) })
		bed.Urge(t, writer)
	}
	writer.Close()
	if o := <-done; o.err != nil || o.n != int64(len(data)) {
		t.Errorf("moved %d, %v, want %d", o.n, o.err, len(data))
	}
	if got, err := d.Wait(); !bytes.Equal(got, data) || err != nil && err != io.EOF {
		t.Errorf("%d bytes arrived that are not the %d sent, %v", len(got), len(data), err)
	}
	if n, _ := tr.Stats.Path(transfer.Splice); n < int64(len(data))/2 {
		t.Errorf("only %d bytes of %d were spliced", n, len(data))
	}
}
