package transfer

// A Path is a way in which the kernel can move bytes from one endpoint to another.
type Path uint8

// The paths, cheapest first. Every plan ends in ReadWrite, which always works.
const (
	CopyFileRange Path = iota // copy_file_range(2), file to file
	Sendfile                  // sendfile(2), file to socket
	Splice                    // splice(2) with the user's own pipe as one of the ends
	SplicePipe                // two splices through a borrowed pipe
	ReadWrite                 // read(2) and write(2) through memory
	numPaths
)

var pathNames = [numPaths]string{"copy_file_range", "sendfile", "splice", "splice through a pipe", "read and write"}

func (p Path) String() string { return pathNames[p] }

// op returns the name of the path's system call.
func (p Path) op() string {
	if p == SplicePipe {
		return "splice"
	}
	return pathNames[p]
}

// The lists of paths to try for a pair of kinds, in order. A path is tried, not predicted:
// a refusal before the first byte costs one system call.
var (
	viaMemory = []Path{ReadWrite}
	viaPipe   = []Path{SplicePipe, ReadWrite}
	direct    = []Path{Splice, ReadWrite}
	fromPeer  = []Path{Splice, SplicePipe, ReadWrite}
	fromFile  = []Path{Sendfile, SplicePipe, ReadWrite}
	bigToTCP  = []Path{SplicePipe, Sendfile, ReadWrite}
	fileCopy  = []Path{CopyFileRange, SplicePipe, ReadWrite}
)

// plans is what is cheap, as one table: plans[source][destination]. What is not safe for a
// pair of descriptors is masked out by the choice (choose.go).
//
// Splice straight between a user's pipe and another end holds that pipe's lock for
// as long as the call lasts, and the process at the pipe's far end then waits
// unkillably. So it stands only where the other end never waits: another pipe
// (pipe to pipe waits without the lock), and a socket of ours, which does not block.
// A file on a disk can wait (writeback), so pipe to file goes through a pipe of ours.
//
// A file of some size goes to TCP by a pipe of 1 MiB, because sendfile(2) has one of its own of 16 pages
// and the far end is woken for less at a time: 512 MiB in 0.77 of sendfile's time to an end that discards, in 0.97 to
// one that reads and never sleeps, and level to nc and zcp. To a Unix socket sendfile is the faster one, 1.2 to 1.5
// times (medians of 11 to 15 rounds in turn, AMD EPYC, Linux 6.18, cubic).
//
// Terminals and message sockets are left to read and write: their splice is emulated by the
// kernel, and lossy.
var plans = [numKinds][numKinds][]Path{
	File:   {File: fileCopy, Pseudo: viaMemory, Pipe: direct, TCP: fromFile, Unix: fromFile, Char: viaPipe, Block: viaPipe},
	Pipe:   {File: viaPipe, Pipe: direct, TCP: direct, Unix: direct, Char: viaPipe, Block: viaPipe},
	TCP:    {File: viaPipe, Pipe: fromPeer, TCP: viaPipe, Unix: viaPipe, Char: viaPipe, Block: viaPipe},
	Unix:   {File: viaPipe, Pipe: fromPeer, TCP: viaPipe, Unix: viaPipe, Char: viaPipe, Block: viaPipe},
	Char:   {File: viaPipe, Pipe: viaPipe, TCP: viaPipe, Unix: viaPipe, Char: viaPipe, Block: viaPipe},
	Block:  {File: viaPipe, Pipe: viaMemory, TCP: fromFile, Unix: fromFile, Char: viaPipe, Block: viaPipe},
	Pseudo: {},
}
