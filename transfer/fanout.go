package transfer

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/zcp-go/zcp/transfer/internal/sock"
)

// A Fanout makes one stream several: what is written to In can be read from every branch. Bytes
// are duplicated by reference (tee(2)); where the kernel refuses that they are copied. The branch
// that is read most slowly sets the pace of all, less what its own pipe holds.
//
// Run moves the bytes, on a goroutine of its own. In, and the end that a branch is read from, belong to
// their users, who close them: the first to end the stream, the second to leave it.
type Fanout struct {
	In *Endpoint

	DropSlow time.Duration // leave out a branch that alone held up all others for so long; 0: never
	Dropped  func(i int)   // is told of it, before the branch ends; not nil where DropSlow is set

	// What Run did; any goroutine may read it.
	Duplicated atomic.Int64          // bytes, by reference
	Calls      atomic.Int64          // of tee(2)
	Copied     atomic.Int64          // bytes, through memory
	Refusal    atomic.Pointer[error] // why; nil where it was asked for

	r        int // In's other end
	branches []*branch
	block    []byte // through memory: the bytes that branches are written from
	memory   bool
	wake     wakeup
	slow     slowness
}

// A branch is one pipe of a Fanout. All branches get the bytes in the order in which they are in
// the pipe behind In; a byte leaves that pipe, or the block, when every branch has it.
type branch struct {
	out   *Endpoint // its user's
	w     int       // -1: it has ended
	ahead int64     // bytes that it has and that are still in front of the others
	full  bool      // it took nothing when it was last tried
}

const (
	// fanoutBudget is how much memory the pipes of a Fanout hold together at the most: three quarters of what a user
	// without privileges may have in pipes (pipe-user-pages-soft in pipe(7), 64 MiB).
	fanoutBudget = 48 << 20
	// smallestBranch is the capacity below which a pipe is not worth it. A user over the limit gets pipes of
	// two pages, and a Unix socket holds 208 KiB.
	smallestBranch = 64 << 10
)

// ErrNoBranch ends a Fanout whose last branch was left.
var ErrNoBranch = errors.New("no branch is left")

// NewFanout opens a Fanout of n branches with pipes of size bytes each, or fewer where the kernel grants
// less. With noSplice the bytes are copied. The caller closes In and all branches, also if it never calls Run.
func NewFanout(n, size int, noSplice bool) (*Fanout, error) {
	f := &Fanout{memory: noSplice, r: -1}
	for size > smallestBranch && size*(n+1) > fanoutBudget {
		size /= 2
	}
	r, w, err := openStream(size)
	if err != nil {
		return nil, err
	}
	f.r = r
	if f.In, err = Own(w); err != nil {
		unix.Close(r)
		return nil, err
	}
	for range n {
		r, w, err := openStream(size)
		if err == nil {
			var out *Endpoint
			if out, err = Own(r); err == nil {
				f.branches = append(f.branches, &branch{out: out, w: w})
				continue
			}
			unix.Close(w)
		}
		f.Close()
		f.In.Close()
		for _, b := range f.branches {
			b.out.Close()
		}
		return nil, err
	}
	return f, nil
}

// Branch returns the end to read branch i from.
func (f *Fanout) Branch(i int) *Endpoint { return f.branches[i].out }

// PipeSize returns the bytes that the smallest pipe of a branch holds, 0 where one of them is not a pipe.
func (f *Fanout) PipeSize() int {
	size := 0
	for i, b := range f.branches {
		if b.out.kind != Pipe {
			return 0
		}
		if n := pipeCapacity(b.w); i == 0 || n < size {
			size = n
		}
	}
	return size
}

// openStream opens a pipe of size bytes, or of what is granted. A Unix socket does the same through memory.
func openStream(size int) (r, w int, err error) {
	var p [2]int
	if err = sock.NewPipe(&p); err == nil {
		got := 0
		for ask := size; ask >= smallestBranch; ask /= 2 {
			if got = growPipe(p[1], ask); got >= ask {
				break
			}
		}
		if got >= min(size, smallestBranch) {
			return p[0], p[1], nil
		}
		unix.Close(p[0])
		unix.Close(p[1])
	}
	pair, serr := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if serr != nil {
		return -1, -1, cmp.Or(err, serr)
	}
	for _, fd := range pair {
		unix.CloseOnExec(fd)
		if serr := unix.SetNonblock(fd, true); serr != nil {
			unix.Close(pair[0])
			unix.Close(pair[1])
			return -1, -1, serr
		}
	}
	return pair[0], pair[1], nil
}

// Run moves bytes until In was closed and every branch has everything, or until ctx ends. It does not end
// the branches: Close does, when it is certain that an end of the stream is the truth. It returns ErrNoBranch
// when all branches were left, and the context's cause.
func (f *Fanout) Run(ctx context.Context) error {
	defer f.wake.on(ctx)()
	for {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if !f.alive() {
			return ErrNoBranch
		}
		step := f.teeStep
		if f.memory {
			step = f.copyStep
		}
		moved, ended, err := step()
		switch {
		case err != nil:
			return err
		case ended:
			return nil
		case moved:
			continue
		}
		if err := f.wait(ctx); err != nil {
			return err
		}
	}
}

// EndBranch ends one branch. It is not called while Run runs.
func (f *Fanout) EndBranch(i int) { f.branches[i].end() }

// Close ends all branches: their readers see the end of the stream.
func (f *Fanout) Close() {
	for _, b := range f.branches {
		b.end()
	}
	if f.r >= 0 {
		unix.Close(f.r) // a pipe of ours has nothing to report
		f.r = -1
	}
}

func (b *branch) end() {
	if b.w >= 0 {
		unix.Close(b.w)
		b.w = -1
	}
}

func (f *Fanout) alive() bool {
	return slices.ContainsFunc(f.branches, func(b *branch) bool { return b.w >= 0 })
}

// lag returns the branches that have none of the bytes in front, and how many bytes they may be
// given: up to where the next of the others stands.
func (f *Fanout) lag() (last []*branch, n int64) {
	n = maxCall
	for _, b := range f.branches {
		switch {
		case b.w < 0:
		case b.ahead == 0:
			last = append(last, b)
		default:
			n = min(n, b.ahead)
		}
	}
	return last, n
}
