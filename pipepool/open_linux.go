package pipepool

import (
	"math/bits"
	"os"

	"golang.org/x/sys/unix"
)

// wish returns the capacity to ask for: Size, rounded as F_SETPIPE_SZ rounds it (pipe(7)), so that what is granted can
// be compared with it.
func (pl *Pool) wish() int {
	if pl.Size <= 0 {
		return DefaultSize
	}
	page := os.Getpagesize()
	pages := (min(pl.Size, 1<<30) + page - 1) / page
	return page << bits.Len(uint(pages-1))
}

// openEnds opens a pipe and asks for want bytes only where the kernel's own choice differs: 64 KiB as a rule, 8 KiB
// where the user's pipes exceed /proc/sys/fs/pipe-user-pages-soft. A smaller pipe is not an error.
func openEnds(want int) (ends, error) {
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC|unix.O_NONBLOCK); err != nil {
		return ends{}, os.NewSyscallError("pipe2", err)
	}
	e := ends{r: fds[0], w: fds[1]}
	got, err := unix.FcntlInt(uintptr(e.w), unix.F_GETPIPE_SZ, 0)
	if err != nil {
		e.close()
		return ends{}, os.NewSyscallError("fcntl F_GETPIPE_SZ", err)
	}
	e.size = got
	if got != want {
		e.size = growEnds(e, want)
	}
	return e, nil
}

// growEnds asks for a capacity of want bytes, then for half as much, and so on while that is more than there is, and
// returns the capacity in the end. Two limits refuse with EPERM: pipe-max-size, below which something is granted, and
// the user's budget.
func growEnds(e ends, want int) int {
	for ask := want; ; ask /= 2 {
		got, err := unix.FcntlInt(uintptr(e.w), unix.F_SETPIPE_SZ, ask)
		if err == nil {
			return got
		}
		if ask/2 <= e.size {
			return e.size
		}
	}
}

func (e ends) close() {
	// Linux frees the descriptor whatever close returns (close(2)), and a pipe has no data that it could lose.
	_ = unix.Close(e.r)
	_ = unix.Close(e.w)
}
