package files

import (
	"errors"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

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
