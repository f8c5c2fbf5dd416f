package program

import (
	"bytes"
	"regexp"
	"sync"
	"time"
)

// A Screen collects what a process prints and wakes what waits for a line.
type Screen struct {
	mu      sync.Mutex
	text    bytes.Buffer
	changed chan struct{}
	closed  bool
}

// NewScreen returns an empty screen.
func NewScreen() *Screen { return &Screen{changed: make(chan struct{})} }

// Write is for the process; it never fails.
func (s *Screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.wake()
	return s.text.Write(p)
}

// wake is called with the lock held.
func (s *Screen) wake() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// Close says that nothing more will come.
func (s *Screen) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	s.wake()
}

// String returns what was printed so far.
func (s *Screen) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

// Await waits until pattern was printed and returns its groups, or nil when the process
// ended without it.
func (s *Screen) Await(pattern string) []string {
	re := regexp.MustCompile(pattern)
	guard := time.After(GuardTime)
	for {
		s.mu.Lock()
		m, changed, closed := re.FindStringSubmatch(s.text.String()), s.changed, s.closed
		s.mu.Unlock()
		if m != nil || closed {
			return m
		}
		select {
		case <-changed:
		case <-guard:
			return nil
		}
	}
}
