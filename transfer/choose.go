package transfer

// A Chooser decides by which path a Pump's next step goes, and how many bytes it may move. It
// is asked only while the pump holds no byte, so a path never changes under bytes on their way.
type Chooser interface {
	Next(n int64) (Path, int64) // for at most n bytes
	Refuse(p Path)              // the kernel has refused p
}

// A pathSet is a set of paths, one bit each.
type pathSet uint8

const byKernel = pathSet(1<<CopyFileRange | 1<<Sendfile | 1<<Splice | 1<<SplicePipe)

func (s pathSet) has(p Path) bool { return s&(1<<p) != 0 }

// A choice is the Chooser of a Transfer: the cheapest path of the pair that is safe. What is
// cheap is one table, plans; what is not safe is a mask beside it.
type choice struct {
	cheap  []Path       // of the pair, cheapest first
	barred pathSet      // refused by the kernel, or not safe for these ends or this source
	refer  func() int64 // bytes that may still be spliced by reference to a user's pipe; nil: all
}

// pipePays is how many bytes of a file are worth the opening of a pipe on their way to TCP.
const pipePays = 256 << 10

// start makes the choice for a pair of endpoints and at most n bytes of the source, below 0 for all.
func (c *choice) start(dst, src *Endpoint, n int64, memory bool) {
	*c = choice{cheap: plans[src.kind][dst.kind], barred: unsafePaths(dst, src)}
	if src.kind == File && dst.kind == TCP && (n < 0 || n >= pipePays) {
		c.cheap = bigToTCP
	}
	if memory {
		c.throughMemory()
	}
}

// throughMemory bars every path on which the kernel moves bytes without showing them to us.
func (c *choice) throughMemory() { c.barred |= byKernel }

// Next returns the cheapest path that is left.
func (c *choice) Next(n int64) (Path, int64) {
	if c.refer != nil {
		if m := c.refer(); m > 0 {
			return Splice, min(n, m)
		}
		// Not a refusal: what follows has to be copied, see Transfer.keepCopies.
		c.refer = nil
		c.throughMemory()
	}
	for _, p := range c.cheap {
		if !c.barred.has(p) {
			return p, n
		}
	}
	return ReadWrite, n
}

// Refuse bars a path that the kernel has refused.
func (c *choice) Refuse(p Path) {
	if p != ReadWrite {
		c.barred |= 1 << p
	}
	if p == Splice {
		c.refer = nil
	}
}

// left returns the paths that may be tried, the next one first. The last is ReadWrite. It
// allocates, so it is for plans that are shown; a step asks Next.
func (c *choice) left() []Path {
	if c.refer != nil && c.refer() <= 0 {
		return viaMemory
	}
	paths := make([]Path, 0, numPaths)
	for _, p := range c.cheap {
		if !c.barred.has(p) {
			paths = append(paths, p)
		}
	}
	if len(paths) == 0 {
		return viaMemory
	}
	return paths
}

// unsafePaths returns the paths on which a blocking descriptor would wait inside the kernel:
// SPLICE_F_NONBLOCK does not make a blocking socket wait any less (splice(2); measured), and an
// inherited one keeps its flags.
func unsafePaths(dst, src *Endpoint) pathSet {
	switch {
	case !kernelPaths, dst.kind.Socket() && !dst.nonblock:
		return byKernel
	case src.kind.Socket() && dst.kind == Pipe:
		if !src.nonblock {
			return 1 << Splice // the wait, if there is one, is for a pipe of ours
		}
		return 1 << SplicePipe // Splice is cheaper, and what refuses it refuses both
	}
	return 0
}
