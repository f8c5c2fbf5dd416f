package bed

import (
	"io"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"
)

// A Drain is the neighbour that reads: what came, and how much of it so far.
type Drain struct {
	N    atomic.Int64
	data []byte
	err  error
	Done chan struct{}
}

// DrainAll reads f to its end, or want bytes where the end cannot be told (a terminal).
func DrainAll(f io.Reader, want int, step func(n int64) int) *Drain {
	d := &Drain{Done: make(chan struct{})}
	go d.run(f, want, step)
	return d
}

func (d *Drain) run(f io.Reader, want int, step func(int64) int) {
	defer close(d.Done)
	buf := make([]byte, 256<<10)
	for want < 0 || len(d.data) < want {
		b := buf
		if step != nil {
			b = buf[:min(len(buf), step(d.N.Load()))]
		}
		n, err := f.Read(b)
		d.data = append(d.data, b[:n]...)
		d.N.Store(int64(len(d.data)))
		if err == io.EOF {
			return
		}
		if err != nil {
			d.err = err
			return
		}
	}
}

// Wait returns what came.
func (d *Drain) Wait() ([]byte, error) {
	<-d.Done
	return d.data, d.err
}

// Dies makes the close of fd a reset.
func Dies(t testing.TB, fd int) {
	t.Helper()
	if err := unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1}); err != nil {
		t.Fatal(err)
	}
}
