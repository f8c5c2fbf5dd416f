package pipepool

import (
	"errors"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"
)

// Who owns a pipe: one borrower, or the pool, or the collector; never two of them.

func TestDroppedPipesAreClosedOnce(t *testing.T) {
	var pl Pool
	memfd, err := unix.MemfdCreate("canary", unix.MFD_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(memfd)
	before := descriptors(t)
	var want unix.Stat_t
	if err := unix.Fstat(memfd, &want); err != nil {
		t.Fatal(err)
	}
	// Canaries take numbers that pipes had: one that is closed or replaced was closed too late by a former owner.
	var canaries []int
	const drops, batch = 10_000, 500
	for i := range drops {
		p := get(t, &pl)
		if i%8 == 0 {
			p.Len = 1
			pl.Put(p)
		}
		if i%16 == 0 {
			fd, err := unix.FcntlInt(uintptr(memfd), unix.F_DUPFD_CLOEXEC, 0)
			if err != nil {
				t.Fatal(err)
			}
			canaries = append(canaries, fd)
		}
		if i%batch == 0 {
			runtime.GC()
		}
	}
	eventually(t, "all dropped pipes closed", func() bool { return pl.Stats().Open == 0 })
	for _, fd := range canaries {
		var is unix.Stat_t
		if err := unix.Fstat(fd, &is); err != nil || is.Ino != want.Ino || is.Dev != want.Dev {
			t.Fatalf("descriptor %d was closed by code that did not own it (%v)", fd, err)
		}
		unix.Close(fd)
	}
	if s := pl.Stats(); s.Capacity != 0 || s.Refused != 0 {
		t.Errorf("%+v", s) // Smaller may be there: a batch exceeds the budget of an unprivileged user
	}
	eventually(t, "as many descriptors as before", func() bool { return descriptors(t) <= before })
}

// Sixty-four borrowers at once: no two hold the same pipe, and each gets back what it put in.
func TestBorrowersNeverShareAPipe(t *testing.T) {
	var pl Pool
	var holders [4096]atomic.Int32 // by descriptor
	var wg sync.WaitGroup
	for id := range byte(64) {
		wg.Go(func() {
			for i := range 200 {
				p, err := pl.Get()
				if err != nil {
					t.Error(err)
					return
				}
				if p.R() < len(holders) && holders[p.R()].Add(1) != 1 {
					t.Error("two borrowers hold one pipe")
				}
				if err := passByte(p, id); err != nil {
					t.Error(err)
				}
				if p.R() < len(holders) {
					holders[p.R()].Add(-1)
				}
				if i%50 == 49 {
					p.Len = 1
				}
				pl.Put(p)
			}
		})
	}
	wg.Wait()
	pl.CloseIdle()
	if s := held(&pl); s != (Stats{}) {
		t.Errorf("%+v", s)
	}
}

// passByte sends b through the pipe and lets others run while it is there.
func passByte(p *Pipe, b byte) error {
	if _, err := unix.Write(p.W(), []byte{b}); err != nil {
		return err
	}
	p.Len++
	runtime.Gosched()
	var got [2]byte
	n, err := unix.Read(p.R(), got[:])
	if err != nil {
		return err
	}
	p.Len--
	if n != 1 || got[0] != b {
		return errors.New("another borrower's bytes in the pipe")
	}
	return nil
}

// The figures add up at every moment, with everybody at it.
func TestStatsWhileOthersBorrow(t *testing.T) {
	var pl Pool
	defer pl.CloseIdle()
	const borrowers = 8
	var wg sync.WaitGroup
	for range borrowers {
		wg.Go(func() {
			l := Local{Pool: &pl}
			defer l.Close()
			for i := range 300 {
				for _, from := range []lender[*Pipe]{&pl, &l} {
					p, err := from.Get()
					if err != nil {
						t.Error(err)
						return
					}
					runtime.Gosched()
					from.Put(p)
				}
				if i%16 == 0 {
					l.Trim()
				}
			}
		})
	}
	done := make(chan struct{})
	go func() { wg.Wait(); close(done) }()
	for over := false; !over; {
		select {
		case <-done:
			over = true
		default:
			runtime.Gosched()
		}
		s := pl.Stats()
		if s.InUse < 0 || s.InUse > s.Open || s.Open > 2*borrowers || s.Capacity > 2*borrowers*DefaultSize || s.Refused != 0 {
			t.Fatalf("%+v", s)
		}
	}
	if s := pl.Stats(); s.InUse != 0 || s.Idle != s.Open || s.Open == 0 {
		t.Errorf("in the end: %+v", s)
	}
}
