package relay_test

import (
	"bytes"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/zcp-go/zcp/transfer/internal/bed"
	"github.com/zcp-go/zcp/transfer/relay"
)

// TestRelayHalfClose ends one direction and answers late in the other, in both orders.
func TestRelayHalfClose(t *testing.T) {
	question, answer := bed.Noise(300000, 1), bed.Noise(200001, 2)
	forNetworks(t, func(t *testing.T, from, to string, poller func(*relay.Relay)) {
		for _, first := range []string{"client", "target"} {
			t.Run(first+" first", func(t *testing.T) {
				b := newRelay(t, from, to, poller)
				a, z := b.connect(t)
				if first == "target" {
					a, z = z, a
				}
				go func() {
					a.write(question)
					a.closeWrite()
				}()
				z.readsEnd(question)
				go func() {
					z.write(answer)
					z.closeWrite()
				}()
				a.readsEnd(answer)
				e := b.tells(t, relay.Closed, 1)
				up, down := int64(len(question)), int64(len(answer))
				if first == "target" {
					up, down = down, up
				}
				if e.Reason != relay.Ended || e.Conn.Up != up || e.Conn.Down != down || e.Dropped != 0 || e.Open != 0 {
					t.Errorf("closed with %+v, want %d up and %d down", e, up, down)
				}
			})
		}
	})
}

// TestRelayShapes moves streams of many sizes both ways at once, in large and in small
// pieces, to readers that are fast and slow.
func TestRelayShapes(t *testing.T) {
	for _, shape := range []struct {
		name     string
		up, down int
		piece    int // bytes a write
		slow     bool
	}{
		{"nothing", 0, 0, 1, false},
		{"a byte each way", 1, 1, 1, false},
		{"up only", 3 << 20, 0, 1 << 20, false},
		{"down only", 0, 3<<20 + 1, 1 << 20, false},
		{"odd sizes", 16<<10 + 1, 16<<10 - 1, 16 << 10, false},
		{"both ways", 6 << 20, 5 << 20, 100001, false},
		{"1-byte segments", 5000, 5000, 1, false},
		{"slow readers", 5 << 20, 5 << 20, 1 << 20, true},
	} {
		t.Run(shape.name, func(t *testing.T) {
			forNetworks(t, func(t *testing.T, from, to string, poller func(*relay.Relay)) {
				for _, memory := range []bool{false, true} {
					b := newRelay(t, from, to, poller, func(r *relay.Relay) { r.NoSplice = memory })
					client, target := b.connect(t)
					up, down := bed.Noise(shape.up, 1), bed.Noise(shape.down, 2)
					go inPieces(client, up, shape.piece)
					go inPieces(target, down, shape.piece)
					step := func(int64) int { return 256 << 10 }
					if shape.slow {
						smallWindow(t, client)
						smallWindow(t, target)
						step = func(n int64) int { return int(1 + n%9000) }
					}
					atTarget, atClient := bed.DrainAll(target, -1, step), bed.DrainAll(client, -1, step)
					for _, d := range []struct {
						what string
						d    *bed.Drain
						want []byte
					}{{"up", atTarget, up}, {"down", atClient, down}} {
						if got, err := d.d.Wait(); err != nil || !bytes.Equal(got, d.want) {
							t.Errorf("memory %v, %s: %d bytes, %v; not the %d that were sent", memory, d.what, len(got), err, len(d.want))
						}
					}
					if e := b.tells(t, relay.Closed, 1); e.Reason != relay.Ended {
						t.Errorf("closed with %+v", e)
					}
				}
			})
		})
	}
}

// inPieces writes b and ends the direction.
func inPieces(s side, b []byte, piece int) {
	for len(b) > 0 {
		n := min(piece, len(b))
		s.write(b[:n])
		b = b[n:]
	}
	s.closeWrite()
}

// smallWindow makes what a slow reader has not read pile up at the relay.
func smallWindow(t testing.TB, s side) {
	control(t, s, func(fd int) error { return unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, 128<<10) })
}
