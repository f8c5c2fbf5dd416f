// Package pipepool lends pipes for splice(2).
//
// splice needs a pipe between two descriptors. Opening one costs about a thousand times more than borrowing one, so
// this package keeps the empty ones:
//
//	p, err := pool.Get()
//	if err != nil {
//		return copyThroughMemory(dst, src) // no descriptor left, or no splice here: the bytes still arrive
//	}
//	defer pool.Put(p)
//
// Whoever got a pipe owns it alone until Put. Put closes a pipe that still holds bytes: what one transfer left behind
// must never come out of another.
package pipepool
