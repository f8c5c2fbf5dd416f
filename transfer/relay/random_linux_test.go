package relay_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/zcp-go/zcp/transfer/internal/bed"
	"github.com/zcp-go/zcp/transfer/relay"
)

// A script is what one side of a random connection does.
type script struct {
	data  []byte
	piece int  // bytes a write
	step  int  // bytes a read, at most
	pause bool // before it reads
	late  bool // writes only when the other has ended
	reset int  // breaks off after so many bytes were written, -1: never
}

func randomScript(r *rand.Rand, seed uint64) script {
	n := r.IntN(1 << r.IntN(21))
	s := script{data: bed.Noise(n, seed), piece: 1 + r.IntN(1<<r.IntN(18)), step: 1 + r.IntN(1<<r.IntN(18)), pause: r.IntN(4) == 0, reset: -1}
	s.piece = max(s.piece, n/2000) // so that it ends some day
	s.step = max(s.step, 500)
	if r.IntN(5) == 0 {
		s.reset = r.IntN(n + 1)
	}
	return s
}

// A ran is what became of one side.
type ran struct {
	got     []byte
	sent    int
	ended   bool // the other's end was read
	problem error
}

// run plays a script and returns when the side is through.
func (s script) run(c net.Conn) (r ran) {
	writing := make(chan error, 1)
	read := make(chan struct{})
	go func() {
		if s.late {
			<-read
		}
		for s.reset < 0 || r.sent < s.reset {
			if r.sent == len(s.data) {
				writing <- c.(interface{ CloseWrite() error }).CloseWrite()
				return
			}
			n, err := c.Write(s.data[r.sent:min(len(s.data), r.sent+s.piece)])
			r.sent += n
			if err != nil {
				writing <- err
				return
			}
		}
		if t, ok := c.(*net.TCPConn); ok {
			writing <- t.SetLinger(0)
		} else {
			writing <- nil
		}
		c.Close()
	}()
	if s.pause {
		time.Sleep(time.Millisecond)
	}
	b := make([]byte, s.step)
	for {
		n, err := c.Read(b)
		r.got = append(r.got, b[:n]...)
		if err != nil {
			r.ended, r.problem = err == io.EOF, err
			break
		}
	}
	close(read)
	if err := <-writing; err != nil && r.ended {
		r.problem = err
	}
	c.Close()
	return r
}

// broken tells whether err is how the end of a connection looks that a peer broke off.
func broken(err error) bool {
	return errors.Is(err, unix.ECONNRESET) || errors.Is(err, unix.EPIPE) || errors.Is(err, net.ErrClosed) || errors.Is(err, unix.ENOTCONN)
}

// TestRelayRandom has many connections at once that do what chance tells them. Where no peer
// breaks off, everything arrives in both directions, and then the end; where one does,
// what arrived is the beginning of what was sent, and both sides come to an end.
func TestRelayRandom(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	forNetworks(t, func(t *testing.T, from, to string, poller func(*relay.Relay)) {
		const conns = 60
		b := newRelay(t, from, to, poller, relay.SettlesAtOnce, func(r *relay.Relay) { r.PipeSize = 256 << 10 })
		var all sync.WaitGroup
		for i := range conns {
			r := rand.New(rand.NewPCG(seed, uint64(i)))
			up, down := randomScript(r, uint64(2*i)), randomScript(r, uint64(2*i+1))
			if r.IntN(3) == 0 {
				up.late, down.late = r.IntN(2) == 0, false
				down.late = !up.late
			}
			client, target := b.connect(t)
			all.Go(func() {
				if err := playBoth(client, target, up, down, from == "unix" || to == "unix"); err != nil {
					t.Errorf("connection %d: %v", i, err)
				}
			})
		}
		all.Wait()
		bed.Until(t, "all to be closed", func() bool { return b.Totals().Open == 0 })
		if n := b.Totals(); n.Closed != conns {
			t.Errorf("%+v", n)
		}
	})
}

func playBoth(client, target side, up, down script, unixSocket bool) error {
	var a, z ran
	var both sync.WaitGroup
	both.Go(func() { a = up.run(client.Conn) })
	both.Go(func() { z = down.run(target.Conn) })
	both.Wait()
	breaks := up.reset >= 0 || down.reset >= 0
	switch {
	case !bytes.HasPrefix(up.data, z.got) || !bytes.HasPrefix(down.data, a.got):
		return fmt.Errorf("%d and %d bytes arrived that are not those that were sent", len(z.got), len(a.got))
	case !breaks && (len(z.got) != len(up.data) || len(a.got) != len(down.data) || !a.ended || !z.ended):
		return fmt.Errorf("%d of %d up, %v; %d of %d down, %v", len(z.got), len(up.data), z.problem, len(a.got), len(down.data), a.problem)
	case isTimeout(a.problem) || isTimeout(z.problem):
		return fmt.Errorf("hangs: %v, %v", a.problem, z.problem)
	case breaks && !unixSocket && up.reset < 0 && !broken(a.problem):
		return fmt.Errorf("the client saw %v, not a reset", a.problem)
	case breaks && !unixSocket && down.reset < 0 && !broken(z.problem):
		return fmt.Errorf("the target saw %v, not a reset", z.problem)
	}
	return nil
}
