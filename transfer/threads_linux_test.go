package transfer_test

import (
	"errors"
	"io"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/zcp-go/zcp/transfer"
	"github.com/zcp-go/zcp/transfer/internal/bed"
)

// TestThreadsOfSilentTransfers has many transfers wait for silent peers within a bound of threads: they take no more
// of them, they notice bytes, an end of the context and Idle, and they cost nothing.
func TestThreadsOfSilentTransfers(t *testing.T) {
	const many, bound = 60, 3
	threads := func() int { return len(bed.Must(os.ReadDir("/proc/self/task"))(t)) }
	before := threads()
	shared := transfer.NewThreads(bound)
	ctx := bedContext(t)
	var peers []*peer
	var done []<-chan outcome
	for range many {
		conn, p := meet(t, "tcp")
		tr := &transfer.Transfer{Threads: shared}
		to, r, _ := farSink(newPipe)(t)
		bed.DrainAll(r, -1, nil)
		done = append(done, moving(ctx, tr, to, conn.Endpoint, -1))
		waitsFor(t, tr, transfer.Source)
		peers = append(peers, p)
	}
	if used := bed.WhileNothingMoves(t, time.Second); used > 50*time.Millisecond {
		t.Errorf("%v of processor time in a second", used)
	}
	if n := threads() - before; n > bound+8 { // those of the runtime
		t.Errorf("%d threads more for %d transfers", n, many)
	}
	for i, p := range peers {
		bed.Must(p.Write(bed.Noise(100000, uint64(i))))(t)
		p.closeWrite()
	}
	for _, d := range done {
		if o := <-d; o.n != 100000 || o.err != nil {
			t.Errorf("%d bytes, %v", o.n, o.err)
		}
	}
	conn, _ := meet(t, "tcp")
	to, _, _ := farSink(newPipe)(t)
	tr := &transfer.Transfer{Threads: shared, Idle: 50 * time.Millisecond}
	if o := <-moving(ctx, tr, to, conn.Endpoint, -1); !errors.Is(o.err, transfer.ErrIdle) {
		t.Error("got", o.err)
	}
}

// TestThreadsInUse moves bytes both ways over many connections with fewer threads than connections.
func TestThreadsInUse(t *testing.T) {
	const many, size = 24, 4 << 20
	shared := transfer.NewThreads(2)
	ctx := bedContext(t)
	var all sync.WaitGroup
	for i := range many {
		conn, p := meet(t, []string{"tcp", "unix"}[i%2])
		go func() { _, _ = io.Copy(p, p); p.Close() }()
		all.Go(func() {
			tr := transfer.Transfer{Threads: shared, Discard: true}
			src, _ := fileSource(t, bed.Noise(size, uint64(i)))
			if n, err := tr.Move(ctx, conn.Endpoint, src, -1); n != size || err != nil {
				t.Error(n, err)
			}
			if how, err := tr.Finish(ctx, conn, bed.Patience); how != transfer.PeerClosed || err != nil || tr.Stats.Dropped.Load() != size {
				t.Error(how, err, tr.Stats.Dropped.Load())
			}
		})
	}
	all.Wait()
}
