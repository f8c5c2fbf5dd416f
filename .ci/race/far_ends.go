//go:build linux

package main

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"runtime"
	"sync"

	"github.com/zcp-go/zcp/cmd/e2e/program"
	"golang.org/x/sys/unix"
)

// The far ends: they block in plain system calls on threads of their own and let the
// kernel do as little as it can, so that what is measured is the tool in the middle.

// A payload is what arrived somewhere, or what should.
type payload struct {
	bytes int64
	sum   uint32 // CRC-32C, where it was asked for
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// chunk is the buffer of the far ends, in bytes.
const chunk = 1 << 20

// farEnds are the ends of one run.
type farEnds struct {
	stdin, stdout *os.File // the command's ends of its pipes, or nil
	group         sync.WaitGroup
	mu            sync.Mutex
	got           []payload // of those that receive
	errs          []error
	listener      int
	failed        func() // ends the command, which might wait for an end that has failed
}

// work runs one end. It keeps what it received, where that is more than nothing.
func (f *farEnds) work(end func() (payload, error)) {
	f.group.Go(func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		got, err := end()
		f.mu.Lock()
		defer f.mu.Unlock()
		if got.bytes > 0 {
			f.got = append(f.got, got)
		}
		if err != nil {
			f.errs = append(f.errs, err)
			f.failed()
		}
	})
}

// wait waits for all ends and returns what the last of them received.
func (f *farEnds) wait() (got payload, err error) {
	f.group.Wait()
	if len(f.got) > 0 {
		got = f.got[len(f.got)-1]
	}
	return got, errors.Join(f.errs...)
}

// closeOurs closes the command's ends in this process, after it has inherited them.
func (f *farEnds) closeOurs() {
	for _, file := range []*os.File{f.stdin, f.stdout} {
		if file != nil {
			file.Close()
		}
	}
	f.stdin, f.stdout = nil, nil
}

func (f *farEnds) close() {
	f.closeOurs()
	if f.listener > 0 {
		unix.Close(f.listener)
	}
}

// farEnds starts the ends that a row has around its command and returns the port in
// question.
func (b *bench) farEnds(r row, verify bool, failed func()) (f *farEnds, port int, err error) {
	f = &farEnds{failed: failed}
	if r.in {
		var in [2]int
		if err := unix.Pipe2(in[:], unix.O_CLOEXEC); err != nil {
			return nil, 0, err
		}
		f.stdin = os.NewFile(uintptr(in[0]), "stdin")
		f.work(func() (payload, error) { return payload{}, b.writeBlocks(in[1]) })
	}
	if r.out != noOut {
		var out [2]int
		if err := unix.Pipe2(out[:], unix.O_CLOEXEC); err != nil {
			return nil, 0, err
		}
		f.stdout = os.NewFile(uintptr(out[1]), "stdout")
		f.work(func() (payload, error) { return drainPipe(out[0], r.out == spliceOut && !verify, verify) })
	}
	if r.net == netSink || r.net == netSpin {
		l, err := listenTCP()
		if err != nil {
			return nil, 0, err
		}
		f.listener = l.fd
		for range max(1, r.sinks) {
			f.work(func() (payload, error) { return l.discard(verify, r.net == netSpin) })
		}
		return f, l.port, nil
	}
	return f, program.FreePort(), nil
}

// writeBlocks writes the block over and over, 128 KiB at a time, and closes fd.
func (b *bench) writeBlocks(fd int) error {
	defer unix.Close(fd)
	const piece = 128 << 10
	for sent := int64(0); sent < b.size; {
		at := sent % int64(len(b.block))
		end := min(at+piece, int64(len(b.block)), at+b.size-sent)
		n, err := restart(func() (int, error) { return unix.Write(fd, b.block[at:end]) })
		if err != nil {
			return fmt.Errorf("the writer: %w", err)
		}
		sent += int64(n)
	}
	return nil
}

// drainPipe takes everything out of a pipe, by splice to /dev/null or by read, with a sum
// of what was read where look is set, and closes fd.
func drainPipe(fd int, splice, look bool) (got payload, err error) {
	defer unix.Close(fd)
	null, err := unix.Open("/dev/null", unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return got, err
	}
	defer unix.Close(null)
	buf := make([]byte, chunk)
	take := func() (int, error) { return unix.Read(fd, buf) }
	if splice {
		take = func() (int, error) {
			n, err := unix.Splice(fd, nil, null, nil, chunk, unix.SPLICE_F_MOVE)
			return int(n), err // an int already on some systems
		}
	}
	return receive(buf, look, take)
}

// receive reads into buf until the end, with a sum of what was read where look is set.
func receive(buf []byte, look bool, read func() (int, error)) (got payload, err error) {
	for {
		n, err := restart(read)
		if n == 0 && err == io.EOF {
			err = nil
		}
		if n == 0 || err != nil {
			return got, err
		}
		got.bytes += int64(n)
		if look {
			got.sum = crc32.Update(got.sum, castagnoli, buf[:n])
		}
	}
}

// restart repeats a call that a signal has interrupted: the runtime sends signals to its
// threads, and a socket with a time limit does not go on by itself.
func restart(call func() (int, error)) (n int, err error) {
	for n, err = call(); errors.Is(err, unix.EINTR); n, err = call() {
	}
	return n, err
}
