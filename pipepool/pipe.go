package pipepool

import "runtime"

// A Pipe is a pipe for splice: two descriptors, non-blocking and close-on-exec, and the count of the bytes between them.
//
// It belongs to whoever got it, and to one goroutine at a time, from Get until Put.
type Pipe struct {
	// Len is the number of bytes in the pipe now. Whoever splices in adds, whoever splices out subtracts.
	// A Pipe must be handed to Put with the true number: 0 is what makes it good for somebody else.
	Len int64

	ends
	idle    bool // in a pool, not lent
	cleanup runtime.Cleanup
}

// ends is what a cleanup needs of a Pipe when the Pipe itself is gone.
type ends struct {
	r, w int
	size int // bytes, as the kernel granted them
}

// R returns the descriptor of the read end. It stays open while the caller owns p.
func (p *Pipe) R() int { return p.r }

// W returns the descriptor of the write end. It stays open while the caller owns p.
func (p *Pipe) W() int { return p.w }

// Cap returns the capacity in bytes that the kernel granted (F_GETPIPE_SZ). It may be less than the pool's Size, and
// it counts whole pages: a pipe of 1 MiB holds 256 segments, however short they are.
func (p *Pipe) Cap() int { return p.size }
