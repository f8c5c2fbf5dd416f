package blake3

import (
	"hash"
	"math/bits"

	"github.com/klauspost/cpuid/v2"
)

const (
	blockLen = 64
	chunkLen = 1024
	lanes    = 16        // inputs that compress takes at once
	groupLen = 64 * 1024 // bytes of whole chunks that are hashed together; parents cost a tenth of that
	maxGroup = 256 * 1024

	chunkStart = 1 << 0
	chunkEnd   = 1 << 1
	parent     = 1 << 2
	root       = 1 << 3
)

// compress hashes 16 inputs of some blocks each, stride bytes apart, in the order of the BLAKE3 paper: the counter
// grows by step from input to input, its low half without a carry; first and last are flags of the first and the last block, which
// has lastLen bytes. It needs AVX512F.
//
//go:noescape
func compress(cvs *[lanes][32]byte, in *byte, stride, blocks int, counter uint64, step, flags, first, last, lastLen uint32)

// A wide is a hash of what was written. Chunks are hashed 16 at a time.
type wide struct {
	tree
	held [groupLen]byte
	n    int // bytes in held: all that were written and are not in the tree
}

// A tree has the chaining values of whole chunks, merged as late as possible, because the last merge is another
// one: it makes the root.
type tree struct {
	stack  [55][32]byte // the roots of subtrees, the largest first: one for each bit of chunks, and those that are not merged yet
	depth  int
	chunks uint64 // that are in the stack
}

func newWide() hash.Hash {
	if !cpuid.CPU.Supports(cpuid.AVX512F) {
		return nil
	}
	return new(wide)
}

func (w *wide) Size() int      { return 32 }
func (w *wide) BlockSize() int { return blockLen }
func (w *wide) Reset()         { w.depth, w.chunks, w.n = 0, 0, 0 }

// Write never fails. A group may be the last of all that is written: add leaves its root to be computed.
func (w *wide) Write(p []byte) (int, error) {
	written := len(p)
	for len(p) > 0 {
		if w.n == 0 && len(p) >= groupLen {
			n := w.group(len(p))
			w.add(p[:n])
			p = p[n:]
			continue
		}
		n := copy(w.held[w.n:], p)
		p = p[n:]
		if w.n += n; w.n == groupLen {
			w.add(w.held[:])
			w.n = 0
		}
	}
	return written, nil
}

// group returns the length of the largest complete subtree of at most n bytes, which are no less than a group, that
// can stand behind the chunks that there are.
func (t *tree) group(n int) int {
	size := min(1<<(bits.Len(uint(n))-1), maxGroup)
	for uint64(size/chunkLen-1)&t.chunks != 0 {
		size /= 2
	}
	return size
}

// add hashes a complete subtree of at least a group, down to its two halves.
func (t *tree) add(b []byte) {
	var cvs [maxGroup / chunkLen][32]byte
	n := len(b) / chunkLen
	t.leaves(cvs[:], b, n, t.chunks)
	for ; n > 2; n /= 2 {
		for i := 0; i < n/2; i += lanes { // the values of a level are written over those that were read
			compress((*[lanes][32]byte)(cvs[i:]), &cvs[2*i][0], blockLen, 1, 0, 0, parent, 0, 0, blockLen)
		}
	}
	half := uint64(len(b)/chunkLen) / 2
	t.push(cvs[0], half)
	t.push(cvs[1], half)
}

// leaves hashes n whole chunks, with room for 16 at a time in both cvs and b.
func (t *tree) leaves(cvs [][32]byte, b []byte, n int, counter uint64) {
	for i := 0; i < n; i += lanes {
		compress((*[lanes][32]byte)(cvs[i:]), &b[i*chunkLen], chunkLen, chunkLen/blockLen, counter+uint64(i), 1, 0, chunkStart, chunkEnd, blockLen)
	}
}

// push adds a subtree, after those before it were merged.
func (t *tree) push(cv [32]byte, chunks uint64) {
	t.merge()
	t.stack[t.depth] = cv
	t.depth++
	t.chunks += chunks
}

// merge joins subtrees until as many are left as the number of chunks has bits: those are complete.
func (t *tree) merge() {
	for t.depth > bits.OnesCount64(t.chunks) {
		t.depth--
		t.stack[t.depth-1] = join(t.stack[t.depth-1], t.stack[t.depth], 0)
	}
}

// join returns the parent of two nodes.
func join(left, right [32]byte, flags uint32) [32]byte {
	both := [2][32]byte{left, right}
	var cvs [lanes][32]byte
	compress(&cvs, &both[0][0], 0, 1, 0, 0, parent|flags, 0, 0, blockLen)
	return cvs[0]
}

// Sum appends the hash to b. What is written afterwards goes on from here.
func (w *wide) Sum(b []byte) []byte {
	t := w.tree
	var right [32]byte // the subtree at the right edge, which the others are joined with one by one
	if w.n == 0 && t.depth > 0 {
		t.depth--
		right = t.stack[t.depth]
	} else {
		right = t.tail(&w.held, w.n)
	}
	for ; t.depth > 0; t.depth-- {
		right = join(t.stack[t.depth-1], right, t.rootAt(1))
	}
	return append(b, right[:]...)
}

// tail pushes n bytes but the last chunk, whose chaining value it returns.
func (t *tree) tail(held *[groupLen]byte, n int) [32]byte {
	whole := max(n-1, 0) / chunkLen
	var cvs [groupLen / chunkLen][32]byte
	t.leaves(cvs[:], held[:], whole, t.chunks)
	for _, cv := range cvs[:whole] {
		t.push(cv, 1)
	}
	t.merge()
	return t.partial(held[whole*chunkLen : n])
}

// rootAt is the flag of the node that is computed with so many subtrees in the stack, if it is the last.
func (t *tree) rootAt(depth int) uint32 {
	if t.depth == depth {
		return root
	}
	return 0
}

// partial hashes the last chunk, which may have any length, in all lanes alike.
func (t *tree) partial(b []byte) [32]byte {
	var padded [chunkLen]byte
	copy(padded[:], b)
	blocks := max((len(b)+blockLen-1)/blockLen, 1)
	var cvs [lanes][32]byte
	compress(&cvs, &padded[0], 0, blocks, t.chunks, 0, 0, chunkStart, chunkEnd|t.rootAt(0), uint32(len(b)-(blocks-1)*blockLen))
	return cvs[0]
}
