package faults

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"time"
)

// A chaos is a peer that behaves as badly as its seed says. The same seed behaves the same
// way, as far as the scheduler lets it.
type chaos struct {
	seed    uint64
	r       *rand.Rand
	content []byte // what is sent, by zcp or by the peer

	chunk  int           // most bytes it reads or writes at once
	pause  time.Duration // most it sleeps between two of them
	answer bool          // as a receiver it talks, too
	buffer int           // bytes of its socket's buffers, 0: the kernel's choice

	// Where in the stream something happens; -1: nowhere.
	half   int // a receiver ends its own direction
	urgent int // an urgent byte
	stall  int // nothing happens for a while
	at     int // the stream ends in the way that end says

	end finale
	got []byte // a receiver: what it has read
	eof bool   // it has read the end of the stream
	err error  // what it saw instead
}

// A finale is how a chaos ends.
type finale uint8

const (
	inOrder finale = iota // a receiver reads all and closes; a sender sends all and ends its direction
	stopAt                // a receiver closes at a byte, whatever is unread; a sender ends there
	resetAt               // a reset at a byte
	resetAtEnd
	stays // a receiver reads all and keeps its side open
	finales
)

var finaleNames = [finales]string{"in order", "stops", "resets", "resets at the end", "stays"}

func (e finale) String() string { return finaleNames[e] }

// newChaos makes the peer of a seed.
func newChaos(seed uint64, all []byte) *chaos {
	r := rand.New(rand.NewPCG(seed, 0x2c9))
	x := &chaos{seed: seed, r: r, half: -1, urgent: -1, stall: -1}
	x.content = all[:logUniform(r, len(all))]
	size := len(x.content)
	// Some 200 steps and 50 ms of pauses at most, so that no seed takes seconds.
	x.chunk = max(1+logUniform(r, 1<<20), size/100)
	if r.IntN(3) == 0 {
		x.pause = 100 * time.Millisecond / time.Duration(1+2*size/x.chunk)
	}
	if r.IntN(3) == 0 {
		x.buffer = 2048 + logUniform(r, 1<<18)
	}
	x.answer = r.IntN(4) == 0
	somewhere := func(chance int) int {
		if r.IntN(chance) != 0 {
			return -1
		}
		return r.IntN(size + 1)
	}
	x.half, x.urgent, x.stall = somewhere(5), somewhere(4), somewhere(12)
	x.end = finale(r.IntN(int(finales)))
	if r.IntN(3) == 0 {
		x.end = inOrder
	}
	x.at = r.IntN(size + 1)
	return x
}

// logUniform returns a number from 0 to limit, small ones as likely as large ones.
func logUniform(r *rand.Rand, limit int) int {
	n := 1
	for n < limit && r.IntN(8) != 0 {
		n *= 2 + r.IntN(2)
	}
	return min(r.IntN(n+1), limit)
}

func (x *chaos) String() string {
	return fmt.Sprintf("seed %d: %s at %d of %d, chunks of %d, pauses of %v, half %d, urgent %d, stall %d, buffer %d, answers %v",
		x.seed, x.end, x.at, len(x.content), x.chunk, x.pause, x.half, x.urgent, x.stall, x.buffer, x.answer)
}

// step sleeps, then returns how many bytes to move next: at most to the next place where
// something happens.
func (x *chaos) step(done int) int {
	if x.pause > 0 {
		time.Sleep(time.Duration(x.r.Int64N(int64(x.pause)))) // how slow the peer is
	}
	n := 1 + x.r.IntN(x.chunk)
	for _, place := range []int{x.half, x.urgent, x.stall, x.at} {
		if place > done {
			n = min(n, place-done)
		}
	}
	return n
}

// A stage is what a chaos needs of the test around it.
type stage struct {
	urgent func(c *net.TCPConn) // sends an urgent byte
	stall  func()               // waits while nothing moves
}

// happen does what happens at a place of the stream, once.
func (x *chaos) happen(c *net.TCPConn, done int, on stage) {
	if x.urgent >= 0 && done >= x.urgent {
		x.urgent = -2
		on.urgent(c)
	}
	if x.stall >= 0 && done >= x.stall {
		x.stall = -2
		on.stall()
	}
}

// receive is the peer of a send. It closes the connection, unless it stays.
func (x *chaos) receive(c *net.TCPConn, on stage) {
	for {
		x.happen(c, len(x.got), on)
		if x.half >= 0 && len(x.got) >= x.half {
			x.half = -2
			_ = c.CloseWrite() // of what may be broken already
		}
		if (x.end == stopAt || x.end == resetAt) && len(x.got) >= x.at {
			break
		}
		b := make([]byte, x.step(len(x.got)))
		n, err := c.Read(b)
		x.got = append(x.got, b[:n]...)
		if err != nil {
			if x.eof = err == io.EOF; !x.eof {
				x.err = err
			}
			break
		}
		if x.answer && x.half != -2 && x.r.IntN(4) == 0 {
			_, _ = c.Write(b[:min(n, 1000)]) // zcp may have gone
		}
	}
	switch x.end {
	case resetAt, resetAtEnd:
		_ = c.SetLinger(0) // fails only on a connection that is gone
		fallthrough
	case inOrder, stopAt:
		c.Close()
	}
}

// send is the peer of a recv. Afterwards it reads what zcp says at the end: an end, or a reset.
func (x *chaos) send(c *net.TCPConn, on stage) {
	defer c.Close()
	goal := len(x.content)
	if x.end == stopAt || x.end == resetAt {
		goal = x.at
	}
	for done := 0; ; {
		x.happen(c, done, on)
		if done >= goal {
			break
		}
		n, err := c.Write(x.content[done:min(goal, done+x.step(done))])
		if done += n; err != nil {
			x.err = err
			return
		}
	}
	x.content = x.content[:goal]
	if x.end == resetAt || x.end == resetAtEnd {
		_ = c.SetLinger(0)
		return
	}
	if err := c.CloseWrite(); err != nil {
		x.err = err
		return
	}
	n, err := io.Copy(io.Discard, c)
	if x.err = err; err == nil && n > 0 {
		x.err = fmt.Errorf("zcp sent %d bytes back", n)
	}
	x.eof = err == nil
}
