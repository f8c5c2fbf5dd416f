// Package pipepool lends pipes for splice(2), ready made.
//
// splice moves bytes between two descriptors without copying them through the program, but one of the two must be a
// pipe: between a file and a socket, say, there are two calls with a pipe in the middle. Opening such a pipe costs
// several hundred times more than borrowing one (README.md), so a [Pool] keeps the idle ones:
//
//	p, err := pool.Get()
//	if err != nil {
//		return copyThroughMemory(dst, src) // no descriptor left, or no splice on this system
//	}
//	defer pool.Put(p)
//	// splice from src into p.W() and add to p.Len, splice from p.R() to dst and subtract from it
//
// # Who owns a pipe
//
// Get lends a [Pipe]: from then on it belongs to the caller alone, empty, until Put takes it back. In between the caller
// keeps its byte count, [Pipe.Len]. That number decides what Put does: an empty pipe waits for the next borrower, a
// dirty one is closed, because what one transfer left behind must never come out of another. A pipe that is dropped
// without Put is closed when the garbage collector finds it; nothing leaks, but the descriptors stay open until then.
//
// # What happens to idle pipes
//
// Pipes that were idle for 10 to 20 seconds are closed by a timer, which exists only while there are any: after a
// burst of a thousand and silence none is left, and the process sleeps. Neither the garbage collector nor any call of the
// program's is needed for that.
//
// # When the kernel refuses
//
// Descriptors, pipes and their capacity are limited. Get degrades in the open: first to a pipe that is smaller than
// wished ([Pipe.Cap] tells the truth), then to an error that names the cause, upon which the caller does without a pipe.
// The kernel is asked again soon, but not at every Get. [Pool.Stats] counts both.
//
// An unprivileged user has a budget of 64 pipes of 1 MiB (/proc/sys/fs/pipe-user-pages-soft); all others are 8 KiB.
//
// # Event loops
//
// A [Local] is a free list that one goroutine has to itself, without a lock, in front of the shared Pool.
//
// # How it is made
//
// The idle pipes lie in 64 shards. A borrower goes to the one that its stack's address points at, and takes and returns
// a pipe with one locked instruction each; two borrowers seldom meet in one shard. README.md in this directory has the
// five designs this one was raced against, and the results. They are, in the order of Andy Pan's article on the pipe pool
// of Go's own splice: a pipe for each transfer, a locked list, a locked list with a reaper, HAProxy's two levels, and
// sync.Pool.
package pipepool
