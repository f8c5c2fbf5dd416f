package tree

import (
	"fmt"
	"path"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/zcp-go/zcp/cmd/exit"
	"github.com/zcp-go/zcp/cmd/text"
)

// A Root is a file or directory that is sent, and what it is called in the stream.
type Root struct {
	Path string
	Name string // "." for the contents of a directory
	Text string // the user's word for it
}

// A Source is what is sent as one stream.
type Source struct {
	Roots         []Root
	Exclude       []string // patterns of path.Match: of a name at any depth, or of a path where they hold a slash
	OneFileSystem bool     // directories on other file systems are left out
	Special       bool     // send FIFOs and devices
	Xattrs        bool     // send extended attributes, and with them the ACLs

	Report func(error)  // a member could not be sent as it is; the error has its words and its status
	Note   func(string) // a member was left out, as it should be
}

// excluded tells whether a pattern matches a member. name is relative to its root, without "./".
func (s *Source) excluded(name string) bool {
	for _, glob := range s.Exclude {
		subject := path.Base(name)
		if strings.Contains(glob, "/") {
			glob, subject = strings.Trim(strings.TrimPrefix(glob, "./"), "/"), name
		}
		// A malformed pattern was refused with the command line.
		if ok, _ := path.Match(glob, subject); ok {
			return true
		}
	}
	return false
}

// problem is an error about one member, in words.
func problem(name string, err error) error {
	return exit.Classify(err, exit.Where{Subject: text.Quote(name)})
}

// changed says that a member is not what its file was at any one time.
func changed(name, how string, args ...any) error {
	return &exit.Failure{Status: exit.Changed, Err: fmt.Errorf("%s: "+how, append([]any{text.Quote(name)}, args...)...)}
}

// Worse returns the one of two errors whose exit status is the more important.
func Worse(a, b error) error {
	order := []int{exit.OK, exit.Failed, exit.TimedOut, exit.Incomplete, exit.Changed}
	rank := func(err error) int {
		if at := slices.Index(order, exit.Status(err)); at >= 0 {
			return at
		}
		return 1 // as Failed
	}
	if rank(b) > rank(a) {
		return b
	}
	return a
}

// A Count is how far a tree is. Any goroutine may read it.
type Count struct {
	files   atomic.Int64
	whole   atomic.Int64 // estimate of the stream, in bytes, of the walk beside the sender
	walked  atomic.Bool  // the walk has ended: whole is of all of it
	ahead   atomic.Int64 // bytes by which the stream is larger so far than was estimated
	settled atomic.Int64 // the size of the stream, when all of it is written; 0: not yet
}

// Files returns how many members were sent or unpacked that are not directories.
func (c *Count) Files() int64 { return c.files.Load() }

// Size returns how large the stream will be, in bytes, or -1 where that is not known yet. It comes
// near as members are sent, and is exact at the end.
func (c *Count) Size() int64 {
	if n := c.settled.Load(); n > 0 {
		return n
	}
	if !c.walked.Load() {
		return -1
	}
	return c.whole.Load() + c.ahead.Load()
}
