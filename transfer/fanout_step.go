package transfer

import (
	"golang.org/x/sys/unix"

	"github.com/zcp-go/zcp/transfer/internal/sock"
)

// teeStep gives bytes to the branches that lag behind: to all but one by tee, which leaves them where they
// are, and then to the last by splice, which takes them. tee always begins with the first byte in the pipe, so a branch that
// took more than another waits until the first byte that it lacks is in front.
func (f *Fanout) teeStep() (moved, ended bool, err error) {
	last, n := f.lag()
	if len(last) == 0 { // the one that was to take the bytes was left
		return true, false, f.discard(n)
	}
	all := true
	for i, b := range last {
		b.full = false
		takes := i == len(last)-1
		if takes && !all {
			break
		}
		call := tee
		if takes {
			call = splice
		} else {
			f.Calls.Add(1)
		}
		m, err := call(b.w, f.r, n)
		switch {
		case m > 0 && takes:
			f.taken(m)
			b.ahead = 0
			return true, false, nil
		case m > 0:
			f.Duplicated.Add(m)
			b.ahead, moved = m, true
			n = min(n, m)
		case err == nil:
			return false, true, nil
		case err == unix.EAGAIN:
			b.full, all = true, false
		case err == unix.EPIPE:
			b.end()
			return true, false, nil
		default:
			why := err // its own, so that a call that is not refused allocates nothing
			f.memory = true
			f.Refusal.Store(&why)
			return true, false, nil
		}
	}
	return moved, false, nil
}

// taken notes that n bytes are no longer in front.
func (f *Fanout) taken(n int64) {
	for _, b := range f.branches {
		b.ahead = max(0, b.ahead-n)
	}
}

// discard takes away bytes that all branches have.
func (f *Fanout) discard(n int64) error {
	p := buffers.Get().(*[]byte)
	defer buffers.Put(p)
	for n > 0 {
		m, err := sock.RetryN(func() (int, error) { return unix.Read(f.r, (*p)[:min(n, int64(len(*p)))]) })
		if err != nil || m == 0 {
			return unix.EIO // they were counted: this cannot happen
		}
		f.taken(int64(m))
		n -= int64(m)
	}
	return nil
}

// copyStep is teeStep through memory: a block is read, and each branch is written what it lacks of it.
func (f *Fanout) copyStep() (moved, ended bool, err error) {
	if len(f.block) == 0 {
		b := f.block[:0]
		if cap(b) == 0 {
			b = make([]byte, copyBuffer)
		}
		n, err := sock.RetryN(func() (int, error) { return unix.Read(f.r, b[:cap(b)]) })
		switch {
		case err == unix.EAGAIN:
			for _, b := range f.branches {
				b.full = false
			}
			return false, false, nil
		case err != nil:
			return false, false, &Error{"read", Source, err}
		case n == 0:
			return false, true, nil
		}
		f.block = b[:n]
	}
	done := true
	for _, b := range f.branches {
		if b.full = false; b.w < 0 || b.ahead >= int64(len(f.block)) {
			continue
		}
		n, err := sock.RetryN(func() (int, error) { return unix.Write(b.w, f.block[b.ahead:]) })
		switch {
		case err == unix.EPIPE || err == unix.ECONNRESET:
			b.end()
			continue
		case err == unix.EAGAIN:
			b.full, n = true, 0
		case err != nil:
			return false, false, &Error{"write", Destination, err}
		}
		f.Copied.Add(int64(n))
		b.ahead += int64(n)
		moved = moved || n > 0
		done = done && b.ahead >= int64(len(f.block))
	}
	if done {
		f.taken(int64(len(f.block)))
		f.block = f.block[:0]
		moved = true
	}
	return moved, false, nil
}
