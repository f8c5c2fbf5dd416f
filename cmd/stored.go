package cmd

import (
	"context"
	"fmt"
	"hash"
	"sync"
	"sync/atomic"
	"time"

	"github.com/zcp-go/zcp/cmd/exit"
	"github.com/zcp-go/zcp/cmd/files"
	"github.com/zcp-go/zcp/cmd/proof"
	"github.com/zcp-go/zcp/cmd/show"
	"github.com/zcp-go/zcp/transfer"
)

// busyEvery is the time between two lines that say that a receiver is still at work. It is below the
// --linger of any sender that waits at all.
const busyEvery = 2 * time.Second

// A storedProof is what a receiver has to say of what it has stored.
type storedProof struct {
	device hash.Hash    // gets what the device gives back; nil: what is stored is read back behind the writer
	from   int64        // the offset in the file of the first byte that came
	done   atomic.Int64 // bytes written to the device, and bytes read back from it
	bytes  int64        // of the stream, where it is an archive
	busy   *busyLines   // nil: nothing is said
	note   string       // what came of the receipt
}

// proveStored chooses what is hashed of a DST that was just opened: with --sync what the device gives
// back, otherwise what is in the file behind the writer, and where DST cannot be read what was delivered.
func (j *job) proveStored(dst *files.Output, sync bool) {
	switch {
	case !j.proof.verify:
	case sync && dst.Readable():
		j.stored.device, j.d.t.Digest = j.d.t.Digest, nil
		j.stored.from = dst.At()
	default:
		j.d.t.ReadBack = true
	}
}

// readStored reads back from the device what has come, where that was asked for.
func (j *job) readStored(ctx context.Context, dst *files.Output) error {
	if j.stored.device == nil {
		return nil
	}
	j.readingBack()
	err := j.readDevice(ctx, dst, j.stored.from, j.d.bytes())
	j.d.t.Digest = j.stored.device
	return err
}

// readDevice has n bytes of DST from an offset on hashed as the device gives them back.
func (j *job) readDevice(ctx context.Context, dst *files.Output, from, n int64) error {
	err := dst.ReadStored(ctx, from, n, j.stored.device, &j.stored.done)
	if err != nil && ctx.Err() == nil {
		err = &transfer.Error{Op: "read", Side: transfer.Destination, Err: exit.Cause(err)}
	}
	return err
}

// readingBack says that everything has come and is still being read back.
func (j *job) readingBack() {
	if !j.proof.verify || j.proof.members || j.stored.busy != nil {
		return
	}
	j.d.enter(show.Verifying)
	j.stored.busy = sayBusy(j.d.conn, busyEvery, j.readBack)
}

// readBack tells how much was read back.
func (j *job) readBack() proof.Busy {
	done, all := j.d.t.Stats.Digested.Load(), j.d.bytes()
	switch {
	case j.proof.whole != nil:
		done, all = j.proof.whole.Hashed(), j.d.position()
	case j.stored.device != nil && j.d.resumed:
		done, all = j.stored.done.Load(), 2*j.d.position()
	case j.stored.device != nil:
		done, all = j.stored.done.Load(), 2*all // it is written first
	}
	done = min(done, all)
	return proof.Busy{What: proof.VerifyDone, N: int64(float64(done) / float64(max(all, 1)) * 100), Bytes: done}
}

// sendReceipt tells the sender what is stored. That it may not get there is the sender's to say: here
// everything is well.
func (j *job) sendReceipt() {
	j.stored.busy.stop()
	if !j.proof.verify {
		return
	}
	j.takeDigest()
	n := j.d.bytes() + j.d.t.Stats.Offset.Load()
	if j.stored.bytes > 0 {
		n = j.stored.bytes
	}
	done := proof.Done{Bytes: n, Alg: j.proof.alg, Digest: j.proof.digest, Hops: j.next.hops()}
	j.stored.note = "receipt sent"
	if err := say(j.d.conn, done); err != nil {
		j.stored.note = "the receipt could not be sent: " + exit.Cause(err).Error()
	}
}

// say tells the other zcp a line.
func say(conn *transfer.Conn, line fmt.Stringer) error { return conn.Say([]byte(line.String() + "\n")) }

// busyLines are said beside the work, again and again. A nil one says nothing.
type busyLines struct {
	end context.CancelFunc
	all sync.WaitGroup
}

func sayBusy(conn *transfer.Conn, every time.Duration, now func() proof.Busy) *busyLines {
	ctx, cancel := context.WithCancel(context.Background())
	b := &busyLines{end: cancel}
	b.all.Go(func() {
		tick := time.NewTicker(every)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				_ = say(conn, now()) // a sender that has gone is noticed at the receipt
			}
		}
	})
	return b
}

// stop returns when the last line was said.
func (b *busyLines) stop() {
	if b != nil {
		b.end()
		b.all.Wait()
	}
}
