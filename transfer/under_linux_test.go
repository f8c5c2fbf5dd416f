package transfer_test

import (
	"context"
	"errors"
	"os"
	"testing"

	"github.com/zcp-go/zcp/transfer"
	"github.com/zcp-go/zcp/transfer/internal/bed"
)

// TestUnder: reads that share a wake-up wait under it until the context ends, after a wait under another
// context as well, and nothing stays open behind them.
func TestUnder(t *testing.T) {
	r, w := newTCP(t)
	from, writer := own(t, r), far(t, w)
	open := func() int {
		list, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return len(list)
	}
	before := open()
	ctx, cancel := context.WithCancelCause(bedContext(t))
	var tr transfer.Transfer
	done := tr.Under(ctx)
	held := open()
	if held != before+2 {
		t.Errorf("%d descriptors before, %d under it", before, held)
	}
	b := make([]byte, 8)
	for range 3 {
		if _, err := writer.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
		if n, err := tr.Read(ctx, from, b); n != 1 || err != nil {
			t.Fatal(n, err)
		}
		if now := open(); now != held {
			t.Errorf("%d descriptors, then %d", held, now)
		}
	}
	// However many reads had to wait, none has to pause as one does that is woken for nothing.
	for range 40 {
		sent := make(chan error, 1)
		go func() {
			bed.Until(t, "the read to wait", func() bool { side, _ := tr.Stats.Waiting(); return side == transfer.Source })
			_, err := writer.Write([]byte("x"))
			sent <- err
		}()
		if n, err := tr.Read(ctx, from, b); n != 1 || err != nil || transfer.Slowed(&tr) {
			t.Fatal(n, err, transfer.Slowed(&tr))
		}
		if err := <-sent; err != nil {
			t.Fatal(err)
		}
	}
	other, end := context.WithCancel(ctx)
	end()
	if err := tr.ServeWhileWaiting(other, from, transfer.Source); err != nil {
		t.Error(err)
	}
	why := errors.New("why")
	got := make(chan error, 1)
	go func() {
		_, err := tr.Read(ctx, from, b)
		got <- err
	}()
	bed.Until(t, "the read to wait", func() bool { side, _ := tr.Stats.Waiting(); return side == transfer.Source })
	cancel(why)
	if err := <-got; err != why {
		t.Errorf("got %v", err)
	}
	done()
	if now := open(); now != before {
		t.Errorf("%d descriptors before, %d behind it", before, now)
	}
}

// TestWrote: what a caller has written itself counts as if it had been moved.
func TestWrote(t *testing.T) {
	var grows transfer.Growing
	tr := transfer.Transfer{Grows: &grows}
	tr.Wrote(3)
	tr.Wrote(4)
	if n, calls := tr.Stats.Path(transfer.ReadWrite); n != 7 || calls != 2 || tr.Stats.Bytes.Load() != 7 || tr.Stats.Calls.Load() != 2 || tr.Stats.LastByte.Load() == 0 {
		t.Errorf("%d bytes by %d calls, %d in all", n, calls, tr.Stats.Bytes.Load())
	}
}
