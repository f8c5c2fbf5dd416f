package pipepool

import (
	"runtime"
	"testing"
	"testing/synctest"
	"time"
)

// lend gets n pipes from l.
func lend(t testing.TB, l lender[*Pipe], n int) []*Pipe {
	t.Helper()
	pipes := make([]*Pipe, n)
	for i := range pipes {
		pipes[i] = get(t, l)
	}
	return pipes
}

// giveBack puts them back, the first one first.
func giveBack(l lender[*Pipe], pipes []*Pipe) {
	for _, p := range pipes {
		l.Put(p)
	}
}

func TestLocalKeepsWhatItLent(t *testing.T) {
	var pl Pool
	defer pl.CloseIdle()
	l := Local{Pool: &pl}
	pipes := lend(t, &l, 3)
	giveBack(&l, pipes)
	if n := pl.onShards(); n != 0 || l.Idle() != 3 {
		t.Errorf("%d pipes in the Local, %d shared; want 3 and 0", l.Idle(), n)
	}
	if s := pl.Stats(); s.Open != 3 || s.Idle != 3 || s.InUse != 0 {
		t.Errorf("the pool does not count its Local: %+v", s)
	}
	for i := range pipes { // the warmest first
		if p := get(t, &l); p != pipes[2-i] {
			t.Errorf("Get %d is not the last one put back", i)
		}
	}
	if l.Idle() != 0 || pl.Stats().InUse != 3 {
		t.Errorf("%d idle; %+v", l.Idle(), pl.Stats())
	}
	giveBack(&l, pipes)
	l.Close()
	if n := pl.onShards(); n != 3 || l.Idle() != 0 {
		t.Errorf("after Close %d pipes are in the Local, %d shared; want 0 and 3", l.Idle(), n)
	}
}

func TestLocalClosesDirtyPipes(t *testing.T) {
	var pl Pool
	l := Local{Pool: &pl}
	p := get(t, &l)
	p.Len = 7
	l.Put(p)
	if s := held(&pl); s != (Stats{}) || l.Idle() != 0 {
		t.Errorf("%+v, %d idle", s, l.Idle())
	}
}

func TestLocalSharesWhatIsTooMuch(t *testing.T) {
	var pl Pool
	defer pl.CloseIdle()
	l := Local{Pool: &pl}
	giveBack(&l, lend(t, &l, localMax+10))
	if n := pl.onShards(); n != 10 || l.Idle() != localMax {
		t.Errorf("%d pipes in the Local, %d shared; want %d and 10", l.Idle(), n, localMax)
	}
	l.Close()
}

func TestTrimHandsOnWhatWasNotNeeded(t *testing.T) {
	var pl Pool
	defer pl.CloseIdle()
	l := Local{Pool: &pl}
	pipes := lend(t, &l, 10)
	giveBack(&l, pipes)
	l.Trim() // all ten were needed since the beginning
	if l.Idle() != 10 {
		t.Fatalf("%d left after the first Trim, want 10", l.Idle())
	}
	warm := lend(t, &l, 3)
	giveBack(&l, warm)
	l.Trim()
	if n := pl.onShards(); l.Idle() != 3 || n != 7 {
		t.Errorf("%d left and %d shared, want 3 and 7", l.Idle(), n)
	}
	for range warm {
		p := get(t, &l)
		if p != pipes[7] && p != pipes[8] && p != pipes[9] {
			t.Error("Trim kept a cold pipe and handed on a warm one")
		}
		defer pl.Put(p)
	}
}

// The rule of a loop: Trim at each tick while there is something idle, and then wait without a limit.
func TestQuietLoopHoldsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var pl Pool
		l := Local{Pool: &pl}
		giveBack(&l, lend(t, &l, 50))
		ticks := 0
		for ; l.Idle() > 0; ticks++ {
			time.Sleep(time.Second)
			l.Trim()
		}
		if ticks != 2 {
			t.Errorf("%d ticks until the Local was empty, want 2", ticks)
		}
		time.Sleep(2 * lookEvery)
		synctest.Wait()
		if s := held(&pl); s != (Stats{}) {
			t.Errorf("%+v", s)
		}
	})
}

func TestForgottenLocalIsCollected(t *testing.T) {
	var pl Pool
	func() {
		l := &Local{Pool: &pl}
		giveBack(l, lend(t, l, 20))
		runtime.KeepAlive(l)
	}()
	eventually(t, "the pipes of a forgotten Local closed", func() bool { return held(&pl) == Stats{} })
	l := Local{Pool: &pl}
	l.Put(get(t, &l))
	if len(pl.locals) != 1 {
		t.Errorf("the pool lists %d Locals, want the one that is left", len(pl.locals))
	}
	l.Close()
	pl.CloseIdle()
}
