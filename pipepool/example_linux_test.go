package pipepool_test

import (
	"fmt"
	"io"
	"log"
	"os"
	"time"

	"github.com/zcp-go/zcp/pipepool"
	"golang.org/x/sys/unix"
)

var pool pipepool.Pool

// Send a file through a borrowed pipe.
func Example() {
	src, err := os.CreateTemp("", "src")
	if err != nil {
		log.Fatal(err)
	}
	defer os.Remove(src.Name())
	defer src.Close()
	if _, err := src.WriteString("from page to page\n"); err != nil {
		log.Fatal(err)
	}
	if _, err := src.Seek(0, io.SeekStart); err != nil {
		log.Fatal(err)
	}

	n, err := send(os.Stdout, src)
	if err != nil {
		log.Fatal(err)
	}
	s := pool.Stats()
	fmt.Println(n, "bytes sent;", s.InUse, "pipes in use,", s.Idle, "idle")
	// Output:
	// from page to page
	// 18 bytes sent; 0 pipes in use, 1 idle
}

// send moves all of src to dst and returns how many bytes dst has.
func send(dst, src *os.File) (sent int64, err error) {
	p, err := pool.Get()
	if err != nil {
		return io.Copy(dst, src) // the bytes still arrive
	}
	defer pool.Put(p) // closed, not pooled, if an error below leaves bytes in it

	for {
		in, err := unix.Splice(int(src.Fd()), nil, p.W(), nil, p.Cap(), unix.SPLICE_F_NONBLOCK)
		if in == 0 || err != nil {
			return sent, err
		}
		p.Len += int64(in)
		for p.Len > 0 {
			out, err := unix.Splice(p.R(), nil, int(dst.Fd()), nil, int(p.Len), 0)
			if err != nil {
				return sent, err
			}
			p.Len -= int64(out)
			sent += int64(out)
		}
	}
}

// An event loop borrows from its own list and, at each tick, hands the shared pool what it did not need.
func ExampleLocal() {
	loop := pipepool.Local{Pool: &pool}
	defer loop.Close()

	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	p, err := loop.Get() // a connection has bytes to move
	if err != nil {
		log.Fatal(err)
	}
	loop.Put(p) // and has moved them
	fmt.Println(loop.Idle(), "idle")
	for loop.Idle() > 0 { // no tick is needed once it is empty
		<-tick.C
		loop.Trim()
	}
	fmt.Println(loop.Idle(), "idle")
	// Output:
	// 1 idle
	// 0 idle
}
