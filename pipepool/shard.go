package pipepool

import (
	"sync"
	"sync/atomic"
	"unsafe"
)

const (
	shardBits = 6 // 64 shards, chosen by BenchmarkSplicePipeParallel: with 8, two borrowers meet in one run of eight
	shards    = 1 << shardBits
	lines     = 128 // bytes: two cache lines, because processors fetch them in pairs
)

// A shard is one pipe in reach of a single locked instruction, and a stack of others under a lock.
//
// A borrower swaps the warm pipe out and, when it is done, its own one back in: two locked
// instructions a round trip instead of the four of a mutex, each 5 to 6 ns on the processors
// where they are dear (README.md). What a returning pipe displaces goes to the stack.
//
// Invariant: every pipe in a shard is empty and knows the look after which it was put back.
type shard struct {
	warm atomic.Pointer[Pipe]
	mu   sync.Mutex
	top  *Pipe

	_ [lines - 8 - 2*unsafe.Sizeof(uintptr(0))]byte // neighbours must not share a cache line
}

// take returns the warmest pipe of the shard, nil if there is none.
func (s *shard) take() *Pipe {
	if s.warm.Load() != nil {
		if p := s.warm.Swap(nil); p != nil {
			return p
		}
	}
	s.mu.Lock()
	p := s.top
	if p != nil {
		s.top = p.next
	}
	s.mu.Unlock()
	return p
}

// push puts a pipe that a warmer one has displaced on the stack.
func (s *shard) push(p *Pipe) {
	s.mu.Lock()
	p.next = s.top
	s.top = p
	s.mu.Unlock()
}

// cut takes every pipe out that was put back at look old or before, and returns how many stay.
func (s *shard) cut(old int64) (cold *Pipe, left int) {
	if p := s.warm.Swap(nil); p != nil {
		if p.look > old && s.warm.CompareAndSwap(nil, p) {
			left++
		} else { // cold, or displaced by a warmer one meanwhile
			s.push(p)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for at := &s.top; *at != nil; {
		p := *at
		if p.look > old {
			left++
			at = &p.next
			continue
		}
		*at, p.next, cold = p.next, cold, p
	}
	return cold, left
}

// idle counts the pipes in the shard.
func (s *shard) idle() (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for p := s.top; p != nil; p = p.next {
		n++
	}
	if s.warm.Load() != nil {
		n++
	}
	return n
}

// pickShard chooses the shard for the goroutine that calls, by where its stack lies: a borrower meets its own pipe again and
// seldom another borrower's. Go shows its programs neither thread nor processor; sync.Pool, which sees the processor,
// pays more for that (pin, unpin, a type assertion) than a shard costs in all.
//
// It is a hint only. Stacks move, two goroutines may meet at one shard, and everything stays right.
func pickShard() uint8 {
	var here byte
	const (
		smallestStack = 11                 // bits: stacks lie at multiples of 2 KiB
		golden        = 0x9E3779B97F4A7C15 // 2^64 divided by the golden ratio spreads neighbours far apart
	)
	stack := uint64(uintptr(unsafe.Pointer(&here)) >> smallestStack)
	return uint8(stack * golden >> (64 - shardBits))
}
