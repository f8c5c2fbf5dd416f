package files

import (
	"errors"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/zcp-go/zcp/cmd/atstart"
	"github.com/zcp-go/zcp/cmd/exit"
	"github.com/zcp-go/zcp/cmd/text"
	"github.com/zcp-go/zcp/transfer"
)

// A Name says where bytes come from or go to.
type Name struct {
	Path string // a file, FIFO or device; empty: the descriptor FD
	FD   int    // inherited
	Text string // what was typed
}

// String is the name in the user's words, fit for a terminal.
func (n Name) String() string { return text.Quote(n.Text) }

// problem puts an error in words: the name, then what is wrong with it.
func (n Name) problem(err error) error {
	return exit.Classify(err, exit.Where{Subject: n.String()})
}

// Inherited returns EBADF where fd was not inherited. What came through execve(2) is not
// close-on-exec, and all that this process opens is: a number that was not passed may be
// one of the runtime's own.
func Inherited(fd int) error {
	if atstart.Closed(fd) {
		return unix.EBADF
	}
	flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
	if err == nil && flags&unix.FD_CLOEXEC != 0 {
		err = unix.EBADF
	}
	return err
}

// inherit returns the end that a descriptor is.
func (n Name) inherit() (*transfer.Endpoint, error) {
	if err := Inherited(n.FD); err != nil {
		return nil, err
	}
	return transfer.Inherit(n.FD)
}

// A NameSequence gives each connection a name of its own: %d counts from 1 and skips names
// that exist. It is safe for concurrent use.
type NameSequence struct {
	Pattern Name // Path holds %d

	mu sync.Mutex
	n  int
}

// Next returns the next name and its plan, which never replaces a file: what took the name
// meanwhile makes it take the next.
func (s *NameSequence) Next(o Options) (Name, *Plan, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	o.NoClobber = true
	for {
		s.n++
		name := s.Pattern
		name.Path = strings.Replace(name.Path, "%d", strconv.Itoa(s.n), 1)
		name.Text = name.Path
		plan, err := Look(name, o, false)
		if errors.Is(err, unix.EEXIST) || errors.Is(err, errTaken) {
			continue
		}
		if err == nil {
			plan.next = func() (*Plan, error) {
				_, next, err := s.Next(o)
				return next, err
			}
		}
		return name, plan, err
	}
}
