package transfer

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/zcp-go/zcp/transfer/internal/bed"
)

// benchSize is the file that the benchmarks move, in bytes. It stays in the page cache.
const benchSize = 64 << 20

func benchFile(b *testing.B) string {
	b.Helper()
	path := filepath.Join(b.TempDir(), "src")
	bed.MustDo(b, os.WriteFile(path, bed.Noise(benchSize, 4), 0o600))
	return path
}

func benchOwn(b *testing.B, path string, flags int) *Endpoint {
	b.Helper()
	return bed.Must(Own(bed.Must(unix.Open(path, flags|unix.O_CLOEXEC, 0o600))(b)))(b)
}

// benchSink returns a connection whose other end reads and drops everything.
func benchSink(b *testing.B) (near *net.TCPConn, done func()) {
	b.Helper()
	ln := bed.Must(net.Listen("tcp", "127.0.0.1:0"))(b)
	defer ln.Close()
	near = bed.Must(net.Dial("tcp", ln.Addr().String()))(b).(*net.TCPConn)
	far := bed.Must(ln.Accept())(b)
	var reader sync.WaitGroup
	reader.Go(func() {
		buf := make([]byte, 1<<20)
		for {
			if _, err := far.Read(buf); err != nil {
				return
			}
		}
	})
	return near, func() { near.Close(); reader.Wait(); far.Close() }
}

// BenchmarkQuantum steps a pump from file to file by copy_file_range with each size of step, and
// reports the longest step: so long a signal or a lease that a writer wants may have to wait.
func BenchmarkQuantum(b *testing.B) {
	from, to := benchFile(b), filepath.Join(b.TempDir(), "dst")
	for _, n := range []int64{64 << 10, 256 << 10, 1 << 20, 4 << 20, 16 << 20, 64 << 20} {
		b.Run(fmt.Sprintf("%dK", n>>10), func(b *testing.B) {
			b.SetBytes(benchSize)
			longest, steps := time.Duration(0), 0
			for b.Loop() {
				src := benchOwn(b, from, unix.O_RDONLY)
				dst := benchOwn(b, to, unix.O_WRONLY|unix.O_CREAT|unix.O_TRUNC)
				c := new(choice)
				c.start(dst, src, -1, false)
				p := &Pump{Pool: &defaultPool, Choose: c}
				p.Start(dst, src)
				for w := WantMore; w == WantMore; steps++ {
					began, err := time.Now(), error(nil)
					w, err = p.Step(n)
					bed.MustDo(b, err)
					longest = max(longest, time.Since(began))
				}
				p.Stop()
				dst.Close()
				src.Close()
			}
			b.ReportMetric(float64(longest.Microseconds()), "longest-step-us")
		})
	}
}

// BenchmarkCopyBuffer sends a file to a connection through memory with each size of buffer.
func BenchmarkCopyBuffer(b *testing.B) {
	from, was, pool := benchFile(b), copyBuffer, buffers.New
	defer func() { copyBuffer = was }()
	for _, n := range []int64{16 << 10, 64 << 10, 128 << 10, 256 << 10, 512 << 10, 1 << 20} {
		b.Run(fmt.Sprintf("%dK", n>>10), func(b *testing.B) {
			copyBuffer = n
			buffers = sync.Pool{New: pool}
			defer func() { buffers = sync.Pool{New: pool} }()
			b.SetBytes(benchSize)
			near, done := benchSink(b)
			defer done()
			used := bed.ProcessorTime(b)
			for b.Loop() {
				src := bed.Must(os.Open(from))(b)
				t := Transfer{NoSplice: true}
				if n, err := t.Copy(context.Background(), near, src); n != benchSize || err != nil {
					b.Fatal(n, err)
				}
				src.Close()
			}
			perGB(b, bed.ProcessorTime(b)-used, benchSize)
		})
	}
}

// perGB reports the processor time of both ends for a gigabyte.
func perGB(b *testing.B, used time.Duration, size int64) {
	b.ReportMetric(used.Seconds()/(float64(b.N)*float64(size)/1e9), "cpu-s/GB")
}

// BenchmarkLowWaterMark receives a file from a connection with each SO_RCVLOWAT.
func BenchmarkLowWaterMark(b *testing.B) {
	was := lowWaterMark
	defer func() { lowWaterMark = was }()
	noise := bed.Noise(benchSize, 5)
	for _, n := range []int{1, 64 << 10, 256 << 10, 1 << 20, 2 << 20} {
		b.Run(fmt.Sprintf("%dK", n>>10), func(b *testing.B) {
			lowWaterMark = n
			b.SetBytes(benchSize)
			used := bed.ProcessorTime(b)
			for b.Loop() {
				receive(b, noise)
			}
			perGB(b, bed.ProcessorTime(b)-used, benchSize)
		})
	}
}

// receive stores what a peer sends in a file.
func receive(b *testing.B, sent []byte) {
	ln := bed.Must(net.Listen("tcp", "127.0.0.1:0"))(b)
	defer ln.Close()
	var sender sync.WaitGroup
	sender.Go(func() {
		c, err := net.Dial("tcp", ln.Addr().String())
		if err != nil {
			return
		}
		defer c.Close()
		_, _ = c.Write(sent)
	})
	conn := bed.Must(ln.Accept())(b)
	path := filepath.Join(b.TempDir(), "stored")
	file := bed.Must(os.Create(path))(b)
	n, err := Copy(context.Background(), file, conn.(*net.TCPConn))
	if n != int64(len(sent)) || err != nil {
		b.Error(n, err)
	}
	sender.Wait()
	conn.Close()
	file.Close()
	bed.MustDo(b, os.Remove(path))
}

// BenchmarkStep moves a page from a pipe to /dev/null: what a step costs besides the bytes.
func BenchmarkStep(b *testing.B) {
	for name, memory := range map[string]bool{"pipe": false, "memory": true} {
		b.Run(name, func(b *testing.B) {
			p, feed := hotPump(b, memory)
			b.ReportAllocs()
			for b.Loop() {
				feed()
				if _, err := p.Step(Quantum); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
