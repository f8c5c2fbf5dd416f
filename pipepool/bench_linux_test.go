package pipepool

import (
	"errors"
	"flag"
	"os"
	"runtime"
	"runtime/debug"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// The race. Every benchmark runs every design, so that benchstat can set them side by side:
//
//	go test -run '^$' -bench SplicePipe -count 10 ./pipepool | tee race.txt
//	benchstat -col /design race.txt
//
// cpu-ns/op is what the process paid on all processors together; it is steadier than ns/op where others use the machine.

var silence = flag.Duration("silence", time.Minute, "how long BenchmarkSplicePipeBurst waits for idle pipes to be closed")

// A lender is one of the designs.
type lender[P interface {
	R() int
	W() int
}] interface {
	Get() (P, error)
	Put(P)
}

// raceDesigns runs one of the two instances of a benchmark for each design.
func raceDesigns(b *testing.B, old func(*testing.B, lender[*plainPipe]), now func(*testing.B, lender[*Pipe])) {
	b.Run("design=1-open-close", func(b *testing.B) { old(b, openClose{}) })
	b.Run("design=2-locked-list", func(b *testing.B) {
		d := new(lockedList)
		defer func() { closeAll(d.head) }()
		old(b, d)
	})
	b.Run("design=3-reaped-list", func(b *testing.B) {
		d := &reapedList{stop: make(chan struct{})}
		defer func() { close(d.stop); closeAll(d.head) }()
		old(b, d)
	})
	b.Run("design=4-haproxy", func(b *testing.B) {
		d := &haproxy{max: 4096, threads: int64(runtime.GOMAXPROCS(0))}
		defer func() {
			closeAll(d.live.Load())
			for i := range d.local {
				closeAll(d.local[i].head)
			}
		}()
		old(b, d)
	})
	b.Run("design=5a-finalizer", func(b *testing.B) { defer collectTo(b, descriptors(b)); old(b, newFinalized()) })
	b.Run("design=5b-cleanup", func(b *testing.B) { defer collectTo(b, descriptors(b)); old(b, newCleaned()) })
	b.Run("design=6-shards", func(b *testing.B) {
		var d Pool
		defer d.CloseIdle()
		now(b, &d)
	})
}

func closeAll(p *plainPipe) {
	for ; p != nil; p = p.next {
		p.close()
	}
}

// collectTo has the pipes of a sync.Pool closed: it takes two collections to forget them, one to find them, and time.
func collectTo(b *testing.B, before int) {
	for range 1000 {
		if descriptors(b) <= before {
			return
		}
		runtime.GC()
	}
	b.Error("the collector did not close the pipes")
}

// processorTime is what all threads of the process have used.
func processorTime(b *testing.B) time.Duration {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// paid reports cpu-ns/op for what run does b.N times.
func paid(b *testing.B, run func()) {
	b.ReportAllocs()
	before := processorTime(b)
	run()
	b.ReportMetric(float64(processorTime(b)-before)/float64(b.N), "cpu-ns/op")
}

// BenchmarkSplicePipe borrows a pipe and returns it.
func BenchmarkSplicePipe(b *testing.B) {
	raceDesigns(b, borrowAlone[*plainPipe], borrowAlone[*Pipe])
}

func borrowAlone[P interface {
	R() int
	W() int
}](b *testing.B, l lender[P]) {
	paid(b, func() {
		for b.Loop() {
			p, err := l.Get()
			if err != nil {
				b.Fatal(err)
			}
			l.Put(p)
		}
	})
}

// BenchmarkSplicePipeParallel does the same on every processor at once.
func BenchmarkSplicePipeParallel(b *testing.B) {
	raceDesigns(b, borrowParallel[*plainPipe], borrowParallel[*Pipe])
}

func borrowParallel[P interface {
	R() int
	W() int
}](b *testing.B, l lender[P]) {
	paid(b, func() {
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				p, err := l.Get()
				if err != nil {
					b.Error(err)
					return
				}
				l.Put(p)
			}
		})
	})
}

// BenchmarkSplicePipeMany has 500 borrowers to a processor, who let the others run with a pipe in hand, so that nearly
// as many pipes are lent: at every 64th borrowing only, because switching goroutines costs ten times what a pool does
// and, by the scheduler's mood, thirty times.
func BenchmarkSplicePipeMany(b *testing.B) {
	raceDesigns(b, borrowMany[*plainPipe], borrowMany[*Pipe])
}

func borrowMany[P interface {
	R() int
	W() int
}](b *testing.B, l lender[P]) {
	b.SetParallelism(500)
	paid(b, func() {
		b.RunParallel(func(pb *testing.PB) {
			for i := 0; pb.Next(); i++ {
				p, err := l.Get()
				if err != nil {
					b.Error(err)
					return
				}
				if i%64 == 0 {
					runtime.Gosched()
				}
				l.Put(p)
			}
		})
	})
}

// BenchmarkSplicePipe64K borrows a pipe, splices 64 KiB of a file in and out to /dev/null, and returns it.
func BenchmarkSplicePipe64K(b *testing.B) {
	raceDesigns(b, borrowMove[*plainPipe], borrowMove[*Pipe])
}

func borrowMove[P interface {
	R() int
	W() int
}](b *testing.B, l lender[P]) {
	const size = 64 << 10
	src, err := unix.MemfdCreate("src", unix.MFD_CLOEXEC)
	if err != nil {
		b.Fatal(err)
	}
	defer unix.Close(src)
	if _, err := unix.Write(src, make([]byte, size)); err != nil {
		b.Fatal(err)
	}
	dst, err := unix.Open("/dev/null", unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		b.Fatal(err)
	}
	defer unix.Close(dst)
	b.SetBytes(size)
	paid(b, func() {
		for b.Loop() {
			p, err := l.Get()
			if err != nil {
				b.Fatal(err)
			}
			var off int64
			in, err := unix.Splice(src, &off, p.W(), nil, size, unix.SPLICE_F_NONBLOCK)
			out, err2 := unix.Splice(p.R(), nil, dst, nil, size, unix.SPLICE_F_NONBLOCK)
			if in != size || out != size {
				b.Fatal(in, out, errors.Join(err, err2))
			}
			l.Put(p)
		}
	})
}

// BenchmarkSplicePipeBurst borrows 1000 pipes at once, returns them and is idle for 100 ms, which is not counted. After
// the last burst it says how many descriptors are held, and waits in silence, without a collection: s-until-closed
// counts the seconds until all but 32 descriptors are closed, fds-left those that are open then, or after -silence.
func BenchmarkSplicePipeBurst(b *testing.B) {
	raceDesigns(b, borrowBurst[*plainPipe], borrowBurst[*Pipe])
}

func borrowBurst[P interface {
	R() int
	W() int
}](b *testing.B, l lender[P]) {
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	const burst, handful = 1000, 32
	before := descriptors(b)
	for b.Loop() {
		var in, out sync.WaitGroup
		in.Add(burst)
		for range burst {
			out.Go(func() {
				p, err := l.Get()
				in.Done()
				if err != nil {
					b.Error(err)
					return
				}
				in.Wait() // until all have one
				l.Put(p)
			})
		}
		out.Wait()
		b.StopTimer()
		time.Sleep(100 * time.Millisecond)
		b.StartTimer()
	}
	b.StopTimer()
	held := descriptors(b) - before
	start := time.Now()
	left := held
	for left > handful && time.Since(start) < *silence {
		time.Sleep(250 * time.Millisecond)
		left = descriptors(b) - before
	}
	b.ReportMetric(float64(held), "fds-held")
	b.ReportMetric(time.Since(start).Seconds(), "s-until-closed")
	b.ReportMetric(float64(left), "fds-left")
}

// descriptors counts the open descriptors of the process.
func descriptors(tb testing.TB) int {
	tb.Helper()
	dir, err := os.Open("/proc/self/fd")
	if err != nil {
		tb.Fatal(err)
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		tb.Fatal(err)
	}
	return len(names)
}

// BenchmarkLocal borrows and returns through an event loop's own list.
func BenchmarkLocal(b *testing.B) {
	var pl Pool
	defer pl.CloseIdle()
	l := Local{Pool: &pl}
	defer l.Close()
	borrowAlone[*Pipe](b, &l)
}
