package relay_test

import (
	"errors"
	"io"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/zcp-go/zcp/transfer/internal/bed"
	"github.com/zcp-go/zcp/transfer/rate"
	"github.com/zcp-go/zcp/transfer/relay"
)

// TestRelayLimitIsNoSilence holds bytes up by limits of the relay's own for longer than Idle:
// the connection is not idle, because its peers could not have moved a byte.
func TestRelayLimitIsNoSilence(t *testing.T) {
	const idle, perSecond = 100 * time.Millisecond, 10 // a byte each 100 ms
	for name, option := range map[string]func(*relay.Relay){
		"each": func(r *relay.Relay) { r.Limit = func() *rate.Limiter { return &rate.Limiter{Rate: perSecond / 4} } },
		"all":  func(r *relay.Relay) { r.Total = &rate.Limiter{Rate: perSecond} },
	} {
		t.Run(name, func(t *testing.T) {
			b := newRelay(t, "tcp", "tcp", option, func(r *relay.Relay) { r.Idle = idle })
			var targets []side
			for range 3 {
				client := b.dial(t)
				client.write([]byte("wxyz"))
				targets = append(targets, b.accept(t))
			}
			for _, z := range targets {
				z.reads([]byte("wx"))
			}
		})
	}
}

// TestRelaySlowReader has peers that read without a pause, more slowly than the limits on silence
// last in all. What was queued for them long ago is acknowledged all the time.
func TestRelaySlowReader(t *testing.T) {
	const limit, piece = 400 * time.Millisecond, 16 << 10
	for name, poller := range relay.Pollers {
		for _, c := range []struct {
			name          string
			ended, halfly bool
			to            string
		}{{"open", false, false, "tcp"}, {"one side has ended", true, true, "tcp"}, {"both have ended", true, false, "tcp"},
			{"a Unix target", false, false, "unix"}} {
			t.Run(name+" "+c.name, func(t *testing.T) {
				b := newRelay(t, "tcp", c.to, poller, func(r *relay.Relay) { r.Idle, r.HalfClose = limit, limit })
				client, target := b.connect(t)
				to, from := client, target
				if c.to == "unix" {
					to, from = target, client
				} else {
					control(t, client, func(fd int) error { return unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, 20000) })
				}
				n := from.fill(limit / 10)
				if c.ended {
					from.closeWrite()
				}
				if c.ended && !c.halfly {
					to.closeWrite()
				}
				began, got := time.Now(), 0
				for got < n && time.Since(began) < 5*limit {
					m, err := to.Read(make([]byte, piece))
					got += m
					if err != nil {
						t.Fatalf("%v after %d of %d bytes and %v", err, got, n, time.Since(began))
					}
					time.Sleep(limit / 20) // the reader's pace
				}
				if m, err := io.CopyN(io.Discard, to, int64(n-got)); err != nil {
					t.Errorf("%v after %d of %d bytes", err, got+int(m), n)
				}
			})
		}
	}
}

// TestRelayStoppedReader stops reading for good: what is queued and not taken does not keep a connection.
func TestRelayStoppedReader(t *testing.T) {
	forNetworks(t, func(t *testing.T, from, to string, poller func(*relay.Relay)) {
		t.Parallel()
		b := newRelay(t, from, to, poller, func(r *relay.Relay) { r.Idle = 200 * time.Millisecond })
		_, target := b.connect(t)
		target.fillUntilBroken()
		if e := b.tells(t, relay.Closed, 1); e.Reason != relay.IdleTooLong {
			t.Errorf("told %+v", e)
		}
	})
}

// fillUntilBroken writes until the relay breaks the connection off.
func (s side) fillUntilBroken() {
	s.t.Helper()
	for {
		if _, err := s.Conn.Write(bed.Noise(64<<10, 3)); errors.Is(err, unix.EPIPE) || errors.Is(err, unix.ECONNRESET) {
			return
		} else if err != nil {
			s.t.Errorf("writing ended with %v, not with a reset", err)
			return
		}
	}
}
