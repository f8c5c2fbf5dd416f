package relay_test

import (
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/zcp-go/zcp/transfer/internal/bed"
	"github.com/zcp-go/zcp/transfer/relay"
)

// TestSettle: connections that last are divided among the loops, whichever accepted them, and go on there.
func TestSettle(t *testing.T) {
	forNetworks(t, func(t *testing.T, from, to string, poller func(*relay.Relay)) {
		const conns = 12
		b := newRelay(t, from, to, poller, func(r *relay.Relay) { r.Loops = 3 })
		data := bed.Noise(1<<20, 1)
		var clients, targets []side
		var all sync.WaitGroup
		for range conns {
			client, target := b.connect(t)
			clients, targets = append(clients, client), append(targets, target)
		}
		for i := range conns {
			all.Go(func() { clients[i].write(data) })
			all.Go(func() { targets[i].reads(data) })
		}
		all.Wait()
		if n := relay.Settled(b.Relay); !slices.Equal(n, []int64{4, 4, 4}) {
			t.Errorf("settled: %d", n)
		}
		if rows := b.Table(); len(rows) != conns {
			t.Errorf("%d rows", len(rows))
		}
		for i := range conns {
			all.Go(func() {
				targets[i].write(data)
				targets[i].closeWrite()
			})
			all.Go(func() { clients[i].readsEnd(data) })
			all.Go(func() {
				clients[i].closeWrite()
				targets[i].readsEnd(nil)
			})
		}
		all.Wait()
		bed.Until(t, "all to be closed", func() bool { return b.Totals().Open == 0 })
		if n := relay.Settled(b.Relay); !slices.Equal(n, []int64{0, 0, 0}) {
			t.Errorf("settled after the end: %d", n)
		}
		if n := b.Totals(); n.Closed != conns || n.Broken != 0 || n.Up != conns*int64(len(data)) || n.Down != n.Up {
			t.Errorf("%+v", n)
		}
	})
}

// TestSettleAtTheEnd: a relay that is stopped, or drained, while connections move from loop to loop loses none of them.
func TestSettleAtTheEnd(t *testing.T) {
	for name, poller := range relay.Pollers {
		for _, drained := range []bool{false, true} {
			t.Run(name+map[bool]string{true: " drained", false: " stopped"}[drained], func(t *testing.T) {
				for range 20 {
					const conns = 8
					b := newRelay(t, "tcp", "tcp", poller, relay.SettlesAtOnce)
					var all sync.WaitGroup
					data := bed.Noise(rand.IntN(8<<10), 1)
					for range conns {
						client, target := b.connect(t)
						all.Go(func() {
							_, err := client.Write(data) // it moves with that
							if drained {
								if err != nil {
									t.Error(err)
								}
								target.reads(data)
								target.closeWrite()
								client.readsEnd(nil)
								client.closeWrite()
								target.readsEnd(nil)
							} else if err == nil { // else the write was told of the reset
								client.breaks()
							}
						})
					}
					var why error
					if drained {
						b.Drain(-1)
					} else {
						b.end(errOver)
						why = errOver
					}
					all.Wait()
					if err := <-b.served; err != why {
						t.Errorf("Serve returns %v", err)
					}
					b.served <- nil // for the cleanup
					if n := b.Totals(); n.Open != 0 || n.Closed != conns || drained && n.Broken != 0 {
						t.Errorf("%+v", n)
					}
				}
			})
		}
	}
}

// TestOneLoopAccepts: short connections, one after the other, are all served by the first loop.
func TestOneLoopAccepts(t *testing.T) {
	for name, poller := range relay.Pollers {
		t.Run(name, func(t *testing.T) {
			for try := 0; ; try++ {
				const conns = 50
				b := newRelay(t, "tcp", "tcp", poller, func(r *relay.Relay) { r.Loops = 3 })
				for range conns {
					client, target := b.connect(t)
					client.closeWrite()
					target.readsEnd(nil)
					target.closeWrite()
					client.readsEnd(nil)
				}
				n, accepting := relay.Accepted(b.Relay)
				if slices.Equal(n, []int64{conns, 0, 0}) {
					return
				}
				if accepting == 1 || try == 10 { // on busy processors others may have been called in
					t.Fatalf("%d loops accept; accepted: %d", accepting, n)
				}
			}
		})
	}
}
