package relay_test

import (
	"io"
	"net"
	"testing"
	"time"

	"github.com/zcp-go/zcp/transfer/internal/bed"
)

// BenchmarkPolling sends 64 bytes there and back on one connection, through a relay in a process of its own that asks
// its poller again and again for so long before it sleeps, as long as that finds work (relay.Spins); 0 sleeps at once, as
// relays do. See briefWait for what it showed.
func BenchmarkPolling(b *testing.B) {
	for _, d := range []string{"0s", "20us", "50us", "100us"} {
		b.Run(d, func(b *testing.B) {
			b.Setenv(childSpin, d)
			c := startChild(b, echo(b), 0, 0, nil)
			conn := bed.Must(net.Dial("tcp", c.addr))(b)
			defer conn.Close()
			var buf [64]byte
			round := func() {
				bed.Must(conn.Write(buf[:]))(b)
				bed.Must(io.ReadFull(conn, buf[:]))(b)
			}
			for range 100 {
				round()
			}
			used := c.processorTime()
			for b.Loop() {
				round()
			}
			b.ReportMetric(float64((c.processorTime()-used)/time.Microsecond)/float64(b.N), "relay-cpu-us/round")
		})
	}
}
