package relay_test

import (
	"fmt"
	"io"
	"sync"
	"testing"
	"time"

	"github.com/zcp-go/zcp/transfer/internal/bed"
	"github.com/zcp-go/zcp/transfer/relay"
)

// benchConn is a connection through a relay that has no deadlines.
func benchConn(b *testing.B, options ...func(*relay.Relay)) (r *relayBed, client, target side) {
	b.Helper()
	r = newRelay(b, "tcp", "tcp", options...)
	client, target = r.connect(b)
	bed.MustDo(b, client.SetDeadline(time.Time{}))
	bed.MustDo(b, target.SetDeadline(time.Time{}))
	return r, client, target
}

// answer answers each n bytes with n bytes until the connection ends.
func answer(c side, sizes []int) {
	buf := make([]byte, 1<<20)
	for i := 0; ; i++ {
		n := sizes[i%len(sizes)]
		if _, err := io.ReadFull(c, buf[:n]); err != nil {
			return
		}
		if _, err := c.Write(buf[:n]); err != nil {
			return
		}
	}
}

// rounds sends messages of these sizes in turn, each when the one before was answered, and reports
// the processor time of a round, of the relay and of both peers, and the relay's calls on bytes.
func rounds(b *testing.B, sizes ...int) {
	r, client, target := benchConn(b)
	var peer sync.WaitGroup
	peer.Go(func() { answer(target, sizes) })
	buf := make([]byte, 1<<20)
	used, i := bed.ProcessorTime(b), 0
	for b.Loop() {
		n := sizes[i%len(sizes)]
		client.write(buf[:n])
		bed.Must(io.ReadFull(client, buf[:n]))(b)
		i++
	}
	b.ReportMetric(float64((bed.ProcessorTime(b)-used).Nanoseconds())/1e3/float64(i), "cpu-us/round")
	b.ReportMetric(float64(relay.Calls(r.Relay))/float64(i), "calls/round")
	client.Close()
	peer.Wait()
}

// bulk sends 16 MiB a round one way, and reports processor time and calls as rounds does.
func bulk(b *testing.B, options ...func(*relay.Relay)) {
	const size = 16 << 20
	r, client, target := benchConn(b, options...)
	got := make(chan struct{})
	var peer sync.WaitGroup
	peer.Go(func() {
		defer close(got)
		buf := make([]byte, 1<<20)
		for {
			for left := size; left > 0; {
				n, err := target.Read(buf[:min(left, len(buf))])
				if left -= n; err != nil {
					return
				}
			}
			got <- struct{}{}
		}
	})
	noise := bed.Noise(size, 6)
	b.SetBytes(size)
	used := bed.ProcessorTime(b)
	for b.Loop() {
		client.write(noise)
		<-got
	}
	b.ReportMetric((bed.ProcessorTime(b)-used).Seconds()/(float64(b.N)*size/1e9), "cpu-s/GB")
	b.ReportMetric(float64(relay.Calls(r.Relay))/(float64(b.N)*size/1e9), "calls/GB")
	client.Close()
	peer.Wait()
}

// sweep runs f with each value of a size.
func sweep[T int32 | int64](b *testing.B, size *T, values []T, f func(b *testing.B)) {
	was := *size
	for _, v := range values {
		b.Run(fmt.Sprint(v), func(b *testing.B) {
			b.Cleanup(func() { *size = was }) // after the relay has ended
			*size = v
			f(b)
		})
	}
}

// BenchmarkSmallRead answers messages of several sizes: up to SmallRead they go through memory.
func BenchmarkSmallRead(b *testing.B) {
	for _, n := range []int{512, 8 << 10, 32 << 10, 128 << 10} {
		b.Run(fmt.Sprintf("message of %d", n), func(b *testing.B) {
			sweep(b, relay.SmallRead, []int64{1 << 10, 4 << 10, 16 << 10, 64 << 10}, func(b *testing.B) { rounds(b, n) })
		})
	}
}

// BenchmarkMemoryRead moves bulk without a pipe.
func BenchmarkMemoryRead(b *testing.B) {
	sweep(b, relay.MemoryRead, []int64{16 << 10, 32 << 10, 64 << 10, 128 << 10, 256 << 10}, func(b *testing.B) {
		bulk(b, func(r *relay.Relay) { r.NoSplice = true })
	})
}

// BenchmarkDrained answers messages that are just large enough for a pipe, and moves bulk: a step
// that moves less than Drained is followed by a wait instead of a call that would return EAGAIN.
func BenchmarkDrained(b *testing.B) {
	values := []int64{1, 8 << 10, 32 << 10, 128 << 10}
	b.Run("messages", func(b *testing.B) {
		sweep(b, relay.Drained, values, func(b *testing.B) { rounds(b, 24<<10) })
	})
	b.Run("bulk", func(b *testing.B) { sweep(b, relay.Drained, values, func(b *testing.B) { bulk(b) }) })
}

// BenchmarkCalmAfter answers one large message and then 40 short ones: after CalmAfter of these
// the flow goes through memory again.
func BenchmarkCalmAfter(b *testing.B) {
	mixed := append(make([]int, 0, 41), 64<<10)
	for range 40 {
		mixed = append(mixed, 256)
	}
	sweep(b, relay.CalmAfter, []int32{1, 4, 16, 64, 1 << 20}, func(b *testing.B) { rounds(b, mixed...) })
}
