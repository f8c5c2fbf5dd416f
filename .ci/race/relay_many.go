//go:build linux

package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// many is a load of so many connections at the same time, each with its share of the data, or with
// each bytes of it where each is above 0. The far ends are goroutines: a thread for each of ten
// thousand would be the load. All connections stand before the first byte moves.
func many(conns int, each int64) load {
	return func(b *bench, run relayRun) func() error {
		share := each
		if share == 0 {
			share = b.size / int64(conns)
		}
		l, err := run.back.net()
		if err != nil {
			run.ends.work(func() (payload, error) { return payload{}, err })
			return func() error { return nil }
		}
		c := &crowd{run: run, l: l, conns: conns, share: share, want: b.prefix("data", share), start: make(chan struct{})}
		run.ends.work(c.takeAll)
		run.ends.work(func() (payload, error) { return c.giveAll(filepath.Join(b.work, "data")) })
		return func() error {
			if c.good.Load() != int64(conns) {
				return fmt.Errorf("%d of %d connections brought everything", c.good.Load(), conns)
			}
			return nil
		}
	}
}

// A crowd is the connections of one run of many.
type crowd struct {
	run   relayRun
	l     net.Listener // where the relay connects to
	conns int
	share int64         // bytes of each
	want  payload       // what each brings
	good  atomic.Int64  // connections that brought it
	start chan struct{} // closed when all stand
}

// broken gives up: what did not come will not.
func (c *crowd) broken() {
	c.l.Close()
	c.run.ends.failed()
}

// takeAll is the far end.
func (c *crowd) takeAll() (payload, error) {
	defer c.l.Close()
	return payload{}, together(c.conns, c.broken, func() error {
		conn, err := c.l.Accept()
		if err != nil {
			return err
		}
		defer conn.Close()
		got, err := take(conn, c.run.verify)
		if err == nil && got.bytes == c.want.bytes && (!c.run.verify || got.sum == c.want.sum) {
			c.good.Add(1)
		}
		return err
	})
}

// giveAll is the clients, each of which sends its share of a file.
func (c *crowd) giveAll(path string) (payload, error) {
	file, err := os.Open(path)
	if err != nil {
		c.broken()
		return payload{}, err
	}
	defer file.Close()
	var standing atomic.Int64
	return payload{}, together(c.conns, c.broken, func() error {
		conn, err := dialPort(c.run.port)
		if err != nil {
			return err
		}
		defer conn.Close()
		if standing.Add(1) == int64(c.conns) {
			close(c.start)
		}
		select {
		case <-c.start:
		case <-c.run.ended:
			return fmt.Errorf("%d of %d connections came to stand", standing.Load(), c.conns)
		}
		return give(conn.(*net.TCPConn), file, c.share)
	})
}

// together does something n times at once and returns the first error, after which it calls broken.
func together(n int, broken func(), do func() error) (first error) {
	errs := make(chan error, n)
	for range n {
		go func() { errs <- do() }()
	}
	for range n {
		if err := <-errs; err != nil && first == nil {
			first = err
			broken()
		}
	}
	return first
}

// net is the listener as one of package net, with a queue for ten thousand.
func (l listener) net() (net.Listener, error) {
	if err := unix.Listen(l.fd, 16<<10); err != nil {
		return nil, err
	}
	fd, err := unix.FcntlInt(uintptr(l.fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), "listener")
	defer f.Close()
	return net.FileListener(f)
}

// take reads a connection to its end, with a sum where look is set.
func take(c net.Conn, look bool) (got payload, err error) {
	if err := c.SetDeadline(time.Now().Add(runLimit)); err != nil {
		return got, err
	}
	buf := make([]byte, 64<<10)
	return receive(buf, look, func() (int, error) { return c.Read(buf) })
}

// give sends the first n bytes of a file by sendfile, ends its direction, and waits for the other end.
func give(c *net.TCPConn, file *os.File, n int64) error {
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	var off int64
	var call error
	src := int(file.Fd())
	err = raw.Write(func(fd uintptr) bool {
		if off == 0 {
			call = farCongestion(int(fd))
		}
		for call == nil && off < n {
			_, call = restart(func() (int, error) { return unix.Sendfile(int(fd), src, &off, int(n-off)) })
		}
		if errors.Is(call, unix.EAGAIN) {
			call = nil
			return false
		}
		return true
	})
	if err = errors.Join(err, call); err != nil {
		return fmt.Errorf("the source: %w", err)
	}
	if err := c.CloseWrite(); err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, c)
	return err
}
