package transfer

import "hash/maphash"

// A guard watches over a source file while its pages travel by reference.
//
// splice and sendfile do not copy a file's bytes, they pass its pages on. A write to the file
// before the reader has taken them changes what arrives (sendfile(2), NOTES). A read lease (fcntl(2), F_SETLEASE) makes such a writer wait
// until we let go. Where none is granted, the file is compared before and after.
type guard struct {
	on      bool  // the file is one whose change can be seen
	settled bool  // it is our own writing that is read, behind the writer: nothing of it is written again
	held    bool  // the lease is ours now
	fixed   bool  // it cannot be written: sealed memfd, read-only file system
	lost    bool  // the lease was ours and a writer asked for it
	err     error // why no lease was granted
	writes  watch // tells of writes where no lease is held and the bytes go by reference
	fd      int   // the description that holds the lease, where it is not the endpoint's
	before  stamp
	start   int64         // offset of the first byte sent, since the source was last sent from another place
	taken   int64         // bytes taken from the file, however
	sum     *maphash.Hash // of the bytes that were copied, in order
	summed  int64         // bytes in sum
	back    int64         // bytes taken and put back; they are in sum
	earlier []stretch     // what was sent before that
}

// A stretch is what was sent of a source from one place on.
type stretch struct {
	start, taken, summed int64
	sum                  *maphash.Hash // nil: not all of it was copied
}

// now returns the stretch that is being sent.
func (g *guard) now() stretch { return stretch{g.start, g.taken + g.back, g.summed, g.sum} }

// moveTo begins a stretch at an offset.
func (g *guard) moveTo(at int64) {
	if g.taken+g.back > 0 {
		g.earlier = append(g.earlier, g.now())
	}
	g.start, g.taken, g.back, g.summed = at, 0, 0, 0
	if g.sum != nil {
		again := new(maphash.Hash)
		again.SetSeed(g.sum.Seed())
		g.sum = again
	}
}

// A SourceState says what became of a source while it was sent.
type SourceState uint8

// What can become of a source.
const (
	NotWatched      SourceState = iota // pipes, devices, sockets, computed files: nothing to compare
	Unchanged                          // held by a lease, sealed, or not changed by its times and size
	MetadataChanged                    // only its inode changed (chmod, link)
	Grew                               // bytes came after the ones that were sent, which are the old ones
	Changed                            // the bytes that were sent may be a mixture
)

var stateNames = [...]string{"not watched", "unchanged", "metadata changed", "grew", "changed"}

func (s SourceState) String() string { return stateNames[s] }

// Guarding says how a source was protected, for people.
type Guarding uint8

// The ways to protect a source.
const (
	NoGuard      Guarding = iota // nothing to protect
	Lease                        // a read lease was granted
	Fixed                        // sealed, or on a read-only file system
	ComparedOnly                 // no lease: compared before and after
	LeaseBroken                  // a lease was granted and given up to a writer
)

var guardingNames = [...]string{"none", "read lease", "cannot change", "compared before and after", "lease given up to a writer"}

func (g Guarding) String() string { return guardingNames[g] }

// Guarding returns how e is protected now, and why a lease was refused where one was asked for.
func (e *Endpoint) Guarding() (Guarding, error) {
	g := e.guard
	switch {
	case g == nil || !g.on:
		return NoGuard, nil
	case g.fixed:
		return Fixed, nil
	case g.held:
		return Lease, nil
	case g.lost:
		return LeaseBroken, nil
	}
	return ComparedOnly, g.err
}

// copied notes bytes that were sent through memory. If the file turns out to have grown,
// they can be compared with what it holds then.
func (g *guard) copied(b []byte) {
	if g != nil && g.sum != nil {
		g.sum.Write(b)
		g.summed += int64(len(b))
	}
}
