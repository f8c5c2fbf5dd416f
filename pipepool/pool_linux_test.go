package pipepool

import (
	"runtime"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// get is Get where a refusal is the end of the test.
func get(t testing.TB, l lender[*Pipe]) *Pipe {
	t.Helper()
	p, err := l.Get()
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// isOpen tells whether the kernel knows a descriptor of that number.
func isOpen(fd int) bool {
	_, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
	return err == nil
}

// eventually waits for something that another goroutine or the collector is going to do.
func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !done(); {
		if time.Now().After(deadline) {
			t.Fatalf("not in 30 seconds: %s", what)
		}
		runtime.GC()
	}
}

func TestPipeIsNonBlockingAndCloseOnExec(t *testing.T) {
	var pl Pool
	defer pl.CloseIdle()
	p := get(t, &pl)
	defer pl.Put(p)
	for _, fd := range []int{p.R(), p.W()} {
		if fl, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0); err != nil || fl&unix.O_NONBLOCK == 0 {
			t.Errorf("descriptor %d blocks: flags %#x, %v", fd, fl, err)
		}
		if fl, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err != nil || fl&unix.FD_CLOEXEC == 0 {
			t.Errorf("descriptor %d survives exec: flags %#x, %v", fd, fl, err)
		}
	}
}

func TestCapIsWhatTheKernelSays(t *testing.T) {
	page := unix.Getpagesize()
	for _, c := range []struct{ size, want int }{
		{0, DefaultSize},
		{DefaultSize, DefaultSize},
		{16 * page, 16 * page},     // what the kernel gives unasked
		{1, page},                  // smaller than that
		{3*page + 1, 4 * page},     // rounded up
		{32*page - 1, 32 * page},   // rounded up, beyond that
		{-1, DefaultSize},          // nonsense
		{DefaultSize, DefaultSize}, // and again
	} {
		pl := Pool{Size: c.size}
		p := get(t, &pl)
		truth, err := unix.FcntlInt(uintptr(p.R()), unix.F_GETPIPE_SZ, 0)
		if err != nil {
			t.Fatal(err)
		}
		needBudget(t, &pl)
		if p.Cap() != truth || truth != c.want {
			t.Errorf("Size %d: Cap %d, the kernel says %d, want %d", c.size, p.Cap(), truth, c.want)
		}
		if s := pl.Stats(); s.Capacity != int64(truth) || s.Smaller != 0 {
			t.Errorf("Size %d: %+v", c.size, s)
		}
		pl.Put(p)
		pl.CloseIdle()
	}
}

func TestEmptyPipeIsLentAgain(t *testing.T) {
	var pl Pool
	defer pl.CloseIdle()
	p := get(t, &pl)
	r, w := p.R(), p.W()
	needBudget(t, &pl)
	if s := pl.Stats(); s.Open != 1 || s.InUse != 1 || s.Idle != 0 || s.Capacity != DefaultSize {
		t.Errorf("lent: %+v", s)
	}
	pl.Put(p)
	if s := pl.Stats(); s.Open != 1 || s.InUse != 0 || s.Idle != 1 || s.Capacity != DefaultSize {
		t.Errorf("idle: %+v", s)
	}
	q := get(t, &pl)
	if q != p || q.R() != r || q.W() != w || q.Len != 0 {
		t.Error("Get opened a pipe while one was idle")
	}
	pl.Put(q)
	pl.CloseIdle()
	if s := held(&pl); s != (Stats{}) {
		t.Errorf("closed: %+v", s)
	}
	if isOpen(r) || isOpen(w) {
		t.Error("CloseIdle left a descriptor open")
	}
}

// A pipe in another borrower's shard is better than a new one.
func TestGetLooksOnEveryShard(t *testing.T) {
	for far := range uint8(shards) {
		var pl Pool
		p := get(t, &pl)
		p.shard = far
		pl.Put(p)
		if q := get(t, &pl); q != p {
			t.Fatalf("the pipe on shard %d was not found", far)
		}
		pl.Put(p)
		pl.CloseIdle()
	}
}

func TestDirtyPipeIsClosedAndItsCleanupStopped(t *testing.T) {
	var pl Pool
	for _, left := range []int64{1, DefaultSize, -1} {
		p := get(t, &pl)
		r, w := p.R(), p.W()
		if _, err := unix.Write(w, []byte("x")); err != nil {
			t.Fatal(err)
		}
		p.Len = left
		pl.Put(p)
		if s := pl.Stats(); s.Open != 0 || s.Idle != 0 || s.InUse != 0 || s.Capacity != 0 {
			t.Errorf("Len %d: %+v", left, s)
		}
		if p.R() != -1 || p.W() != -1 {
			t.Errorf("Len %d: the closed pipe still names descriptors %d and %d", left, p.R(), p.W())
		}
		// The next open gets the same numbers. A cleanup still waiting for p would close them.
		var next [2]int
		if err := unix.Pipe2(next[:], unix.O_CLOEXEC); err != nil {
			t.Fatal(err)
		}
		if next != [2]int{r, w} {
			t.Logf("the numbers were not used again: %v, %v", next, [2]int{r, w})
		}
		p = nil
		for range 4 {
			runtime.GC()
		}
		if !isOpen(next[0]) || !isOpen(next[1]) {
			t.Errorf("Len %d: descriptors of other files were closed", left)
		}
		unix.Close(next[0])
		unix.Close(next[1])
	}
}

func TestPutPanicsOnPipesThatAreNotLent(t *testing.T) {
	var pl, other Pool
	defer pl.CloseIdle()
	mustPanic := func(name string, f func()) {
		t.Helper()
		defer func() {
			t.Helper()
			if recover() == nil {
				t.Errorf("%s did not panic", name)
			}
		}()
		f()
	}
	p := get(t, &pl)
	mustPanic("Put in another pool", func() { other.Put(p) })
	l := Local{Pool: &other}
	mustPanic("Put in another pool's Local", func() { l.Put(p) })
	pl.Put(p)
	mustPanic("a second Put", func() { pl.Put(p) })
	l.Pool = &pl
	mustPanic("a second Put, in a Local", func() { l.Put(p) })
	p = get(t, &pl)
	p.Len = 1
	pl.Put(p)
	mustPanic("Put of a closed pipe", func() { pl.Put(p) })
	if s := pl.Stats(); s.Open != 0 {
		t.Errorf("%+v", s)
	}
}

// What the race detector makes of every test of a program that counts its bytes wrongly.
func TestPutUnderTheRaceDetectorAsksTheKernel(t *testing.T) {
	if !verify {
		t.Skip("only with -race")
	}
	var pl Pool
	p := get(t, &pl)
	if _, err := unix.Write(p.W(), []byte("secret")); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if recover() == nil {
			t.Error("a pipe with six bytes in it and Len 0 was pooled")
		}
		p.Len = 6
		pl.Put(p)
	}()
	pl.Put(p)
}

func TestGetAndPutDoNotAllocate(t *testing.T) {
	var pl Pool
	defer pl.CloseIdle()
	l := Local{Pool: &pl}
	defer l.Close()
	for name, from := range map[string]lender[*Pipe]{"Pool": &pl, "Local": &l} {
		from.Put(get(t, from))
		if n := testing.AllocsPerRun(1000, func() { from.Put(get(t, from)) }); n != 0 {
			t.Errorf("%s: %v allocations to borrow and return", name, n)
		}
	}
}

// Two pipes, or two shards, on one pair of cache lines would slow each other down.
func TestCacheLines(t *testing.T) {
	if size := unsafe.Sizeof(shard{}); size != lines {
		t.Errorf("a shard has %d bytes, want %d", size, lines)
	}
	if size := unsafe.Sizeof(Pipe{}); size != lines && unsafe.Sizeof(uintptr(0)) == 8 {
		t.Errorf("a Pipe has %d bytes, want %d", size, lines)
	}
}
