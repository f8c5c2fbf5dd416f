package pipepool

import (
	"flag"
	"math/rand/v2"
	"runtime"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"
)

var slow = flag.Bool("slow", false, "also run the test that waits for idle pipes in real time")

// noCollector keeps the garbage collector away until the test is over, and says so if it came all the same.
func noCollector(t *testing.T) {
	runtime.GC()
	percent := debug.SetGCPercent(-1)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	t.Cleanup(func() {
		runtime.ReadMemStats(&after)
		debug.SetGCPercent(percent)
		if after.NumGC != before.NumGC {
			t.Errorf("%d collections: the pipes may have been closed by them", after.NumGC-before.NumGC)
		}
	})
}

// needDescriptors skips a test that the limit of open files does not allow.
func needDescriptors(t *testing.T, n uint64) {
	t.Helper()
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil || limit.Cur < n {
		t.Skipf("SKIPPED: takes %d descriptors, the limit is %d (%v)", n, limit.Cur, err)
	}
}

// burst has n pipes lent at once and returned by n goroutines.
func burst(t *testing.T, l lender[*Pipe], n int) {
	var in, out sync.WaitGroup
	in.Add(n)
	for range n {
		out.Go(func() {
			p, err := l.Get()
			in.Done()
			if err != nil {
				t.Error(err)
				return
			}
			in.Wait()
			l.Put(p)
		})
	}
	out.Wait()
}

// The clock of these tests is synctest's: it jumps when everybody waits. The pipes are the kernel's.

func TestIdlePipesAreClosedWithoutTheCollector(t *testing.T) {
	needDescriptors(t, 2100)
	noCollector(t)
	synctest.Test(t, func(t *testing.T) {
		var pl Pool
		before := descriptors(t)
		burst(t, &pl, 1000)
		if s := pl.Stats(); s.Idle != 1000 {
			t.Fatalf("after the burst: %+v", s)
		}
		time.Sleep(lookEvery - 1)
		if s := pl.Stats(); s.Idle != 1000 {
			t.Errorf("pipes were closed before they were idle for %v: %+v", lookEvery, s)
		}
		time.Sleep(lookEvery + 1)
		synctest.Wait()
		if s := pl.Stats(); s.Open != 0 {
			t.Errorf("after two looks: %+v", s)
		}
		if left := descriptors(t) - before; left > 0 {
			t.Errorf("%d descriptors are still open", left)
		}
	})
}

func TestBurstIsClosedInRealTime(t *testing.T) {
	if !*slow {
		t.Skip("takes 20 seconds: go test -run RealTime ./pipepool -slow")
	}
	needDescriptors(t, 2100)
	noCollector(t)
	var pl Pool
	before := descriptors(t)
	burst(t, &pl, 1000)
	for start := time.Now(); descriptors(t) > before+10; time.Sleep(time.Second) {
		if time.Since(start) > time.Minute {
			t.Fatalf("after a minute: %+v", pl.Stats())
		}
	}
}

func TestQuietPoolDoesNotWakeTheProcess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var pl Pool
		p := get(t, &pl)
		time.Sleep(time.Hour) // a pipe that is lent needs no looking after
		if n := pl.looks.Load(); n != 0 {
			t.Errorf("%d looks with nothing idle", n)
		}
		pl.Put(p)
		time.Sleep(time.Hour)
		if n := pl.looks.Load(); n != 2 || pl.Stats().Open != 0 {
			t.Errorf("%d looks for one idle pipe, want 2; %+v", n, pl.Stats())
		}
		pl.Put(get(t, &pl)) // and from the beginning
		time.Sleep(time.Hour)
		if n := pl.looks.Load(); n != 4 || pl.Stats().Open != 0 {
			t.Errorf("%d looks for two idle pipes, want 4; %+v", n, pl.Stats())
		}
	})
}

func TestPipesInDemandStayOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var pl Pool
		pipes := lend(t, &pl, 100)
		giveBack(&pl, pipes)
		for range 100 { // one borrower now and then
			time.Sleep(lookEvery * 9 / 10)
			p := get(t, &pl)
			if !slices.Contains(pipes, p) {
				t.Fatal("a pipe was opened although one is always warm")
			}
			pl.Put(p)
		}
		// One, unless the borrower's stack was just moved, and its shard with it.
		if s := pl.Stats(); s.Idle < 1 || s.Idle > 3 {
			t.Errorf("one was needed: %+v", s)
		}
		pl.CloseIdle()
	})
}

// Many lives of a pool, with Puts and looks at the same instants.
func TestNoPipeOutlivesTheBorrowers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var pl Pool
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() {
				for range 40 {
					time.Sleep(time.Duration(rand.IntN(5)) * lookEvery)
					p, err := pl.Get()
					if err != nil {
						t.Error(err)
						return
					}
					time.Sleep(time.Duration(rand.IntN(5)) * lookEvery)
					pl.Put(p)
				}
			})
		}
		wg.Wait()
		time.Sleep(2 * lookEvery)
		synctest.Wait()
		if s := held(&pl); s != (Stats{}) {
			t.Errorf("%+v", s)
		}
	})
}

// A look that finds the shards bare and a Put at the same moment must not leave a pipe that no look closes.
func TestPutDuringALook(t *testing.T) {
	if runtime.GOMAXPROCS(0) < 2 {
		t.Skip("SKIPPED: takes two processors")
	}
	synctest.Test(t, func(t *testing.T) { // whose clock stands still, so that no other look comes
		var pl Pool
		for range 3000 {
			p := get(t, &pl)
			p.shard = 0            // the shard that the look visits first
			pl.ticking.Store(true) // the look below is the one that was coming
			var ready atomic.Int32
			together := func() {
				for ready.Add(1); ready.Load() < 2; {
					runtime.Gosched()
				}
			}
			var wg sync.WaitGroup
			wg.Go(func() { together(); pl.look() })
			wg.Go(func() { together(); pl.Put(p) })
			wg.Wait()
			if pl.onShards() != 1 || !pl.ticking.Load() {
				t.Fatalf("%d pipes idle, a look is coming: %v", pl.onShards(), pl.ticking.Load())
			}
		}
		pl.CloseIdle()
	})
}
