package pipepool

import (
	"sync"
	"unsafe"
)

const (
	shelfBits = 6 // 64 shelves, chosen by BenchmarkSplicePipeParallel: with 8, two borrowers meet in one run of eight
	shelves   = 1 << shelfBits
	lines     = 128 // bytes: two cache lines, because processors fetch them in pairs
)

// A shelf is a stack of idle pipes, the warmest on top, under a lock of its own.
//
// True while mu is free: the pipes that hang from top are empty, each knows the look after which it was put back, and none
// was put back later than the one above it.
type shelf struct {
	mu  sync.Mutex
	top *Pipe

	_ [lines - 8 - unsafe.Sizeof(uintptr(0))]byte // neighbours must not share a cache line
}

// take returns the warmest pipe of the shelf, nil if it is bare.
func (s *shelf) take() *Pipe {
	s.mu.Lock()
	p := s.top
	if p != nil {
		s.top = p.next
	}
	s.mu.Unlock()
	return p
}

// cut takes every pipe off the shelf that was put there at look old or before, and says how many stay.
func (s *shelf) cut(old int64) (cold *Pipe, left int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	at := &s.top
	for *at != nil && (*at).look > old {
		at = &(*at).next
		left++
	}
	cold, *at = *at, nil
	return cold, left
}

// near chooses the shelf for the goroutine that calls, by where its stack lies: a borrower meets its own pipe again and
// seldom anybody else's lock. Go shows its programs neither thread nor processor; sync.Pool, which sees the processor,
// pays more for that (pin, unpin, a type assertion) than a shelf costs altogether.
//
// It is a hint only. Stacks move, two goroutines may meet at one shelf, and everything stays right.
func near() uint8 {
	var here byte
	const (
		smallestStack = 11                 // bits: stacks lie at multiples of 2 KiB
		golden        = 0x9E3779B97F4A7C15 // 2^64 divided by the golden ratio spreads neighbours far apart
	)
	stack := uint64(uintptr(unsafe.Pointer(&here)) >> smallestStack)
	return uint8(stack * golden >> (64 - shelfBits))
}
