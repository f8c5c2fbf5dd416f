package tree

// A batch is what the walker hands to the sender: headers and small bodies as they go, and at most one
// large body behind them. One write of a batch takes the place of one for each member, and what the two
// of them cost each other is paid once in some 100 KiB.
type batch struct {
	buf      []byte // from blockSize on; before it is room for the padding of the large body before
	large    large
	files    int64
	estimate int64 // what measure takes the members for, in bytes
}

// A large is a body that goes from its file to the peer.
type large struct {
	name string // for messages
	fd   int    // -1: there is none
	data []span // what is sent
	size int64  // of all the spans
}

// newBatch makes room for what is gathered, and for the last small body.
func newBatch() *batch {
	b := &batch{buf: make([]byte, 0, gathered+smallBody+4*blockSize)}
	b.reset()
	return b
}

func (b *batch) reset() {
	*b = batch{buf: b.buf[:blockSize], large: large{fd: -1}}
}

// empty tells whether nothing was added.
func (b *batch) empty() bool { return len(b.buf) == blockSize && b.large.fd < 0 }
