package transfer

import "github.com/zcp-go/zcp/transfer/internal/sock"

// A preallocation has the blocks of a new file allocated just before they are written.
type preallocation struct {
	written, allocated int64 // bytes from the file's beginning
	refused            bool  // a full disk, a quota, no extents: the writes themselves will tell
}

// preallocateFrom is how much a file holds before its blocks are allocated first.
const preallocateFrom = 1 << 20

// Preallocate has the blocks of each step allocated before they are written to e, a
// regular file that grows at its end, where that is known to help: ext4 otherwise delays the allocation
// block by block, which takes a quarter of a receiver's processor time (measured). No more is
// allocated than is written, because giving the rest back commits the new size to disk: then a
// power cut would leave zeros where it now leaves an empty file (measured).
//
// It is not for a file that is to replace another. What ext4 has delayed it begins to write
// when a file is renamed over another, so that a power cut leaves the old or the new one
// (auto_da_alloc, ext4(5)); blocks that are allocated are not delayed.
func (e *Endpoint) Preallocate() {
	if e.kind == File && allocatesDelayed(e.fd) {
		e.prealloc = &preallocation{written: e.FileSize()}
	}
}

// StartWriteback is called before the file replaces another after all: it begins to be written to
// the disk, as ext4 would have had it.
func (e *Endpoint) StartWriteback() {
	if e.prealloc != nil && e.prealloc.allocated > 0 {
		writeOut(e.fd)
	}
}

// make allocates what n bytes more will need.
func (a *preallocation) make(fd int, n int64) {
	end := a.written + n
	if a.refused || a.written < preallocateFrom || end <= a.allocated {
		return
	}
	from := max(a.written, a.allocated)
	if err := sock.Retry(func() error { return allocate(fd, from, end-from) }); err != nil {
		a.refused = true
		return
	}
	a.allocated = end
}
