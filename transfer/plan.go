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

// A plan is the paths to try for a pair of kinds, in order. A path is tried, not
// predicted: a refusal before the first byte costs one system call.
type plan []Path

var (
	viaMemory = plan{ReadWrite}
	viaPipe   = plan{SplicePipe, ReadWrite}
	direct    = plan{Splice, ReadWrite}
	fromFile  = plan{Sendfile, SplicePipe, ReadWrite}
	fileCopy  = plan{CopyFileRange, SplicePipe, ReadWrite}
)

// plans is the whole plan as one table: plans[source][destination].
//
// Splice straight between a user's pipe and another end holds that pipe's lock for
// as long as the call lasts, and whoever is at the pipe's far end then waits
// unkillably. So it stands only where the other end never waits: another pipe
// (pipe to pipe waits without the lock), and a socket of ours, which does not block.
// A file on a disk can wait (writeback), so pipe to file goes through a pipe of ours.
//
// A file goes to a user's pipe by reference only under a guard, see guard.go; Pump
// takes ReadWrite where there is none. Terminals and message sockets are left to
// read and write: their splice is emulated by the kernel, and lossy.
var plans = [numKinds][numKinds]plan{
	File:   {File: fileCopy, Pseudo: viaMemory, Pipe: direct, TCP: fromFile, Unix: fromFile, Char: viaPipe, Block: viaPipe},
	Pipe:   {File: viaPipe, Pipe: direct, TCP: direct, Unix: direct, Char: viaPipe, Block: viaPipe},
	TCP:    {File: viaPipe, Pipe: direct, TCP: viaPipe, Unix: viaPipe, Char: viaPipe, Block: viaPipe},
	Unix:   {File: viaPipe, Pipe: direct, TCP: viaPipe, Unix: viaPipe, Char: viaPipe, Block: viaPipe},
	Char:   {File: viaPipe, Pipe: viaPipe, TCP: viaPipe, Unix: viaPipe, Char: viaPipe, Block: viaPipe},
	Block:  {File: viaPipe, Pipe: viaMemory, TCP: fromFile, Unix: fromFile, Char: viaPipe, Block: viaPipe},
	Pseudo: {},
}

// planFor returns the paths for a pair, with those left out that would make a
// blocking descriptor wait inside the kernel: SPLICE_F_NONBLOCK does not make a
// blocking socket wait any less (splice(2); measured), and an inherited one keeps its flags.
func planFor(dst, src *Endpoint) plan {
	p := plans[src.kind][dst.kind]
	if len(p) == 0 || !kernelPaths {
		return viaMemory
	}
	if dst.kind.Socket() && !dst.nonblock {
		return viaMemory
	}
	if src.kind.Socket() && !src.nonblock && dst.kind == Pipe {
		return viaPipe // the wait, if there is one, is for a pipe of ours
	}
	return p
}
