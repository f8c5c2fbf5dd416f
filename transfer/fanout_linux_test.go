package transfer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"runtime"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// Branches that are read at different paces, in pieces of any size, all give the same bytes, whatever
// the pipes are, and one that is left does not end the others, whether it lagged or led.
func TestFanoutBranches(t *testing.T) {
	want := noise(3<<20+123, 41)
	for _, memory := range []bool{false, true} {
		for _, leave := range []int{-1, 0, 2, 4} {
			t.Run(fmt.Sprint("memory ", memory, " leave ", leave), func(t *testing.T) {
				t.Parallel()
				f, err := NewFanout(5, 64<<10, memory)
				if err != nil {
					t.Fatal(err)
				}
				var all sync.WaitGroup
				for i := range 5 {
					all.Go(func() { readBranch(t, f.Branch(i), want, i == leave, uint64(i)) })
				}
				go func() {
					var tr Transfer
					if _, err := tr.Write(context.Background(), f.In, want); err != nil {
						t.Error(err)
					}
					f.In.Close()
				}()
				if err := f.Run(context.Background()); err != nil {
					t.Error(err)
				}
				f.Close()
				all.Wait()
				if memory != (f.Calls.Load() == 0) || memory != (f.Copied.Load() > 0) {
					t.Errorf("%d calls of tee, %d bytes copied", f.Calls.Load(), f.Copied.Load())
				}
			})
		}
	}
}

// readBranch reads a branch in pieces of any size, and half of it where it is to be left.
func readBranch(t *testing.T, e *Endpoint, want []byte, leave bool, seed uint64) {
	f := os.NewFile(uintptr(e.Disown()), "branch")
	defer f.Close()
	rnd := rand.New(rand.NewPCG(seed, 1))
	b := make([]byte, 200<<10)
	for at := 0; ; {
		n, err := f.Read(b[:1+rnd.IntN(len(b))])
		if at+n > len(want) || string(b[:n]) != string(want[at:at+n]) {
			t.Errorf("branch %d differs after %d bytes", seed, at)
			return
		}
		switch at += n; {
		case leave && at > len(want)/2:
			return
		case err == io.EOF && at == len(want):
			return
		case err != nil:
			t.Errorf("branch %d ended after %d bytes: %v", seed, at, err)
			return
		}
	}
}

// The last branch that is left ends it, also while the source is silent.
func TestFanoutNoBranch(t *testing.T) {
	f, err := NewFanout(2, 64<<10, false)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error)
	go func() { done <- f.Run(context.Background()) }()
	f.Branch(0).Close()
	f.Branch(1).Close()
	if err := <-done; !errors.Is(err, ErrNoBranch) {
		t.Errorf("%v", err)
	}
	f.Close()
	f.In.Close()
}

// A context ends it while everything is full.
func TestFanoutCancel(t *testing.T) {
	f, err := NewFanout(2, 64<<10, false)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	ctx, cancel := context.WithCancelCause(context.Background())
	done := make(chan error)
	go func() { done <- f.Run(ctx) }()
	for n := 0; n < 128<<10; runtime.Gosched() { // until its pipe and those of the branches are full
		m, _ := unix.Write(f.In.FD(), make([]byte, 4096))
		n += max(m, 0)
	}
	cancel(io.ErrClosedPipe)
	if err := <-done; err != io.ErrClosedPipe {
		t.Errorf("%v", err)
	}
	for i := range 2 {
		f.Branch(i).Close()
	}
	f.In.Close()
}

// noise returns n bytes in which no two stretches are alike.
func noise(n int, seed byte) []byte {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{seed}).Read(b) // never fails
	return b
}
