//go:build linux

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/zcp-go/zcp/cmd/e2e/program"
	"golang.org/x/sys/unix"
)

// A relayRun is one run of a relay under load: it listens on port and connects to back.
type relayRun struct {
	ends   *farEnds
	back   listener
	port   int
	verify bool
	ended  <-chan struct{} // closed when the run is over, well or not
}

// A load starts the ends around a relay and returns what checks, after they have ended,
// that everything has arrived.
type load func(b *bench, run relayRun) (check func() error)

// runRelay starts the relay, plays the row's load through it, and ends it. The clock runs
// from the first connection until all ends have ended.
func (b *bench) runRelay(ctx context.Context, r row, tl tool, verify bool) (res result, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	back, err := listenTCP()
	if err != nil {
		return res, err
	}
	defer unix.Close(back.fd)
	port := program.FreePort()
	if tl.setup != nil {
		if err := tl.setup(b.work, port, back.port); err != nil {
			return res, err
		}
	}
	command := strings.NewReplacer("PORT", strconv.Itoa(port), "BACK", strconv.Itoa(back.port)).Replace(tl.command)
	p, err := b.startListening(ctx, command, port)
	if err != nil {
		return res, err
	}
	if r.warm {
		if err := passThrough(port, back); err != nil {
			return res, err
		}
		untilIdle(p.cmd.Process.Pid)
	}
	ends := farEnds{failed: cancel}
	before, held := treeTime(p.cmd.Process.Pid), treePeak(p.cmd.Process.Pid)
	began := time.Now()
	check := r.relay(b, relayRun{&ends, back, port, verify, ctx.Done()})
	_, err = ends.wait()
	res.wall = time.Since(began)
	// Not from its rusage at the end: children that are still there are not in it.
	res.cpu[0] = treeTime(p.cmd.Process.Pid) - before
	res.peak = treePeak(p.cmd.Process.Pid) - held
	// A relay that has ended by itself has nothing left to be told.
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	_ = p.cmd.Wait() // ended by our signal: its status says no more
	if err != nil {
		return res, fmt.Errorf("%w: %s", err, strings.TrimSpace(p.stderr.String()))
	}
	return res, check()
}

// passThrough makes a connection through a relay and ends it: after that the relay has started.
func passThrough(port int, back listener) error {
	c, err := dialPort(port)
	if err != nil {
		return err
	}
	defer c.Close()
	fd, err := back.accept()
	if err != nil {
		return err
	}
	return unix.Close(fd)
}

// untilIdle returns when a process has used no processor time for a while: what is left of its start is not the row's.
func untilIdle(pid int) {
	for used := time.Duration(-1); used != treeTime(pid); time.Sleep(100 * time.Millisecond) {
		used = treeTime(pid)
	}
}

// bulk is a load of so many connections, each with its share of the data.
func bulk(conns int) load {
	return func(b *bench, run relayRun) func() error {
		share := b.size / int64(conns)
		for range conns {
			run.ends.work(func() (payload, error) { return run.back.discard(run.verify, false) })
			run.ends.work(func() (payload, error) { return sendTo(filepath.Join(b.work, "data"), run.port, share) })
		}
		return func() error {
			want := b.prefix("data", share)
			for _, got := range run.ends.got {
				if got.bytes != want.bytes || run.verify && got.sum != want.sum {
					return fmt.Errorf("%d of %d bytes arrived, or other bytes", got.bytes, want.bytes)
				}
			}
			return nil
		}
	}
}

// message is what the small loads send there and back, in bytes.
const message = 64

// short is a load of conns connections, workers of them at a time, one message each.
func short(conns, workers int) load {
	return func(_ *bench, run relayRun) func() error {
		var left, good atomic.Int64
		left.Store(int64(conns))
		run.ends.work(func() (payload, error) { return payload{}, run.back.echo(conns) })
		for range workers {
			run.ends.work(func() (payload, error) {
				for left.Add(-1) >= 0 {
					c, err := dialPort(run.port)
					if err == nil {
						err = errors.Join(thereAndBack(c), c.Close())
					}
					if err != nil {
						return payload{}, err
					}
					good.Add(1)
				}
				return payload{}, nil
			})
		}
		return func() error {
			if good.Load() != int64(conns) {
				return fmt.Errorf("%d of %d connections were answered", good.Load(), conns)
			}
			return nil
		}
	}
}

// roundTrips is a load of one connection and n messages there and back.
func roundTrips(n int) load {
	return func(_ *bench, run relayRun) func() error {
		run.ends.work(func() (payload, error) { return payload{}, run.back.echo(1) })
		run.ends.work(func() (payload, error) {
			c, err := dialPort(run.port)
			if err != nil {
				return payload{}, err
			}
			defer c.Close()
			for range n {
				if err := thereAndBack(c); err != nil {
					return payload{}, err
				}
			}
			return payload{}, nil
		})
		return func() error { return nil }
	}
}

func dialPort(port int) (net.Conn, error) {
	c, err := net.Dial("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err == nil {
		err = c.SetDeadline(time.Now().Add(runLimit))
	}
	return c, err
}

// thereAndBack sends one message and waits for its echo.
func thereAndBack(c net.Conn) error {
	sent := bytes.Repeat([]byte{byte(time.Now().UnixNano())}, message)
	if _, err := c.Write(sent); err != nil {
		return err
	}
	var got [message]byte
	if _, err := io.ReadFull(c, got[:]); err != nil {
		return err
	}
	if !bytes.Equal(sent, got[:]) {
		return errors.New("another answer came back")
	}
	return nil
}

// echo accepts so many connections and sends back what comes, until each has ended.
func (l listener) echo(conns int) error {
	var ends farEnds
	ends.failed = func() {}
	for range conns {
		fd, err := l.accept()
		if err != nil {
			return err
		}
		ends.work(func() (payload, error) {
			defer unix.Close(fd)
			buf := make([]byte, 4*message)
			for {
				n, err := restart(func() (int, error) { return unix.Read(fd, buf) })
				if err != nil || n == 0 {
					return payload{}, nil // how a client ends is its own business
				}
				if _, err := restart(func() (int, error) { return unix.Write(fd, buf[:n]) }); err != nil {
					return payload{}, err
				}
			}
		})
	}
	_, err := ends.wait()
	return err
}

// treeTime returns the processor time of a process, its descendants and those it has
// waited for, in steps of 10 ms.
func treeTime(root int) (sum time.Duration) {
	tree(root, func(dir string) {
		text, err := os.ReadFile(dir + "/stat")
		if err != nil {
			return
		}
		// The name, in parentheses, may hold anything; fields are counted behind it.
		fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+2:]))
		for _, i := range []int{11, 12, 13, 14} { // utime, stime, cutime, cstime
			ticks, _ := strconv.Atoi(fields[i])
			sum += time.Duration(ticks) * 10 * time.Millisecond
		}
	})
	return sum
}

// treePeak returns the memory in bytes that a process and its descendants had at most (VmHWM, proc(5)).
func treePeak(root int) (sum int64) {
	tree(root, func(dir string) {
		text, _ := os.ReadFile(dir + "/status")
		if _, rest, ok := strings.Cut(string(text), "VmHWM:"); ok {
			kib, _ := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			sum += kib << 10
		}
	})
	return sum
}

// tree visits the folders in /proc of a process and its descendants.
func tree(root int, visit func(dir string)) {
	dir := fmt.Sprintf("/proc/%d", root)
	visit(dir)
	kids, _ := os.ReadFile(fmt.Sprintf("%s/task/%d/children", dir, root))
	for _, kid := range strings.Fields(string(kids)) {
		if pid, err := strconv.Atoi(kid); err == nil {
			tree(pid, visit)
		}
	}
}
