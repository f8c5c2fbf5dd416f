package relay_test

import (
	"bytes"
	"io"
	"syscall"
	"testing"
	"time"

	"github.com/zcp-go/zcp/transfer/internal/bed"
	"github.com/zcp-go/zcp/transfer/relay"
)

// quietFor is how long no byte is taken until everything on the way counts as full.
const quietFor = 100 * time.Millisecond

// TestRelayReset breaks off each end in turn, in every state that a connection can be in.
// The other end sees a reset (a Unix end: a close) although it does nothing and is full.
func TestRelayReset(t *testing.T) {
	for _, state := range []struct {
		name string
		is   func(breaks, other side)
	}{
		{"nothing moved", func(breaks, other side) {}},
		{"bytes moved", func(breaks, other side) {
			breaks.write([]byte("there"))
			other.reads([]byte("there"))
			other.write([]byte("back"))
			breaks.reads([]byte("back"))
		}},
		{"the other is full", func(breaks, other side) { breaks.fill(quietFor) }},
		{"both are full", func(breaks, other side) {
			breaks.fill(quietFor)
			other.fill(quietFor)
		}},
		{"it has ended, and the other is full", func(breaks, other side) {
			breaks.write(bed.Noise(1000, 1))
			breaks.closeWrite()
			other.reads(bed.Noise(1000, 1))
			other.readsEnd(nil)
			other.fill(quietFor)
		}},
		{"the other has ended", func(breaks, other side) {
			other.closeWrite()
			breaks.readsEnd(nil)
			breaks.write([]byte("more"))
			other.reads([]byte("more"))
		}},
	} {
		t.Run(state.name, func(t *testing.T) {
			t.Parallel()
			forNetworks(t, func(t *testing.T, from, to string, poller func(*relay.Relay)) {
				for _, who := range []relay.Ending{relay.ClientReset, relay.TargetReset} {
					b := newRelay(t, from, to, poller)
					breaks, other := b.connect(t)
					kind := from
					if who == relay.TargetReset {
						breaks, other, kind = other, breaks, to
					}
					state.is(breaks, other)
					if kind == "unix" && state.name == "the other has ended" {
						continue // a Unix socket knows no reset but for bytes that were not read
					}
					if kind == "unix" && pending(t, breaks) == 0 {
						other.write([]byte("unread"))
						bed.Until(t, "the bytes to be there", func() bool { return pending(t, breaks) > 0 })
					}
					began := time.Now()
					breaks.reset()
					if state.name == "it has ended, and the other is full" {
						other.writeBreaks() // it has read the end, and reads nothing else any more
					} else {
						other.breaks()
					}
					e := b.tells(t, relay.Closed, 1)
					if d := time.Since(began); d > 2*time.Second {
						t.Errorf("%s: took %v", who, d)
					}
					if e.Reason != who {
						t.Errorf("closed with %+v, want %v", e, who)
					}
				}
			})
		})
	}
}

// TestRelayLastWords answers and resets at once: what was said before arrives, and then the reset.
func TestRelayLastWords(t *testing.T) {
	for name, poller := range relay.Pollers {
		for _, n := range []int{1, 3000, 100000} {
			t.Run(name, func(t *testing.T) {
				b := newRelay(t, "tcp", "tcp", poller)
				client, target := b.connect(t)
				client.write(bed.Noise(50000, 1)) // which the target never reads, so that its close is a reset
				bed.Until(t, "the bytes to be there", func() bool { return pending(t, target) > 0 })
				target.write(bed.Noise(n, 2))
				target.Close()
				got, err := io.ReadAll(client)
				if !bytes.Equal(got, bed.Noise(n, 2)) || err == nil {
					t.Errorf("%d bytes of %d, and then %v", len(got), n, err)
				}
				if e := b.tells(t, relay.Closed, 1); e.Reason != relay.TargetReset {
					t.Errorf("closed with %+v", e)
				}
			})
		}
	}
}

// TestRelayDrops tells how many bytes it took and could not deliver.
func TestRelayDrops(t *testing.T) {
	for _, memory := range []bool{false, true} {
		b := newRelay(t, "tcp", "tcp", func(r *relay.Relay) { r.NoSplice = memory })
		client, target := b.connect(t)
		client.fill(quietFor)
		waits := b.Table()
		if len(waits) != 1 || waits[0].Waits != relay.WaitsForTarget {
			t.Errorf("the table says %+v", waits)
		}
		client.reset()
		target.breaks()
		e := b.tells(t, relay.Closed, 1)
		if e.Dropped <= 0 || e.Dropped > 1<<20 || b.Totals().Dropped != e.Dropped {
			t.Errorf("memory %v: %d bytes dropped, %d in all", memory, e.Dropped, b.Totals().Dropped)
		}
	}
}

// TestRelayUrgent sends an urgent byte in the middle of a stream that is small or large, and
// behind which there is silence, more, or the end. All other bytes arrive, in order.
func TestRelayUrgent(t *testing.T) {
	for name, poller := range relay.Pollers {
		for _, size := range []int{3, 2000, 100000, 3 << 20} {
			for _, end := range []bool{false, true} {
				t.Run(name, func(t *testing.T) {
					b := newRelay(t, "tcp", "tcp", poller)
					client, target := b.connect(t)
					first, rest := bed.Noise(size, 1), bed.Noise(size, 2)
					go func() {
						client.write(first)
						bed.Urge(t, client.Conn.(syscall.Conn))
						client.write(rest)
						if end {
							client.closeWrite()
						}
					}()
					target.reads(first)
					target.reads(rest)
					if end {
						target.readsEnd(nil)
						return
					}
					used := quietFor
					for range 3 { // what tests before have left may take some of it once; a loop that spins always does
						used = min(used, bed.WhileNothingMoves(t, quietFor))
						if used <= quietFor/4 {
							return
						}
					}
					t.Errorf("%v of processor time in %v behind an urgent byte", used, quietFor)
				})
			}
		}
	}
}
