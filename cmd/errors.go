package cmd

import (
	"errors"
	"fmt"
)

// What the program ends with; cli.md's table of exit statuses. 4 is reserved
// for a failed verification.
const (
	StatusOK         = 0
	StatusFailed     = 1 // an I/O or network error
	StatusUsage      = 2
	StatusIncomplete = 3 // fewer bytes than promised
	StatusTimeout    = 5
	StatusChanged    = 6 // the source changed while it was sent
)

// UsageError is a command line, or an environment, that zcp cannot make sense
// of. Nothing has been opened and nothing sent when it is returned.
type UsageError struct {
	Text string // empty: everything was said already
	Hint string // what to type instead; may be empty
}

func (e *UsageError) Error() string { return e.Text }

// ExitStatus is [StatusUsage].
func (e *UsageError) ExitStatus() int { return StatusUsage }

func usagef(format string, args ...any) *UsageError {
	return &UsageError{Text: harmless(fmt.Sprintf(format, args...))}
}

// hint returns e with a second line that says what to do.
func (e *UsageError) hint(format string, args ...any) *UsageError {
	e.Hint = harmless(fmt.Sprintf(format, args...))
	return e
}

// Failure is an error together with what it means to the user: the exit
// status, and a hint where one helps.
type Failure struct {
	Err    error
	Status int
	Hint   string
}

func (e *Failure) Error() string { return e.Err.Error() }
func (e *Failure) Unwrap() error { return e.Err }

// ExitStatus is Status, or [StatusFailed] where none was given.
func (e *Failure) ExitStatus() int {
	if e.Status == StatusOK {
		return StatusFailed
	}
	return e.Status
}

// ExitStatus says what a process that ended with err exits with. An error
// names its status by a method ExitStatus() int; any other error is
// [StatusFailed], none at all [StatusOK].
func ExitStatus(err error) int {
	if err == nil {
		return StatusOK
	}
	var known interface{ ExitStatus() int }
	if errors.As(err, &known) {
		return known.ExitStatus()
	}
	return StatusFailed
}

// hintOf returns the hint that belongs to err, or "".
func hintOf(err error) string {
	if e, ok := errors.AsType[*UsageError](err); ok {
		return e.Hint
	}
	if e, ok := errors.AsType[*Failure](err); ok {
		return e.Hint
	}
	return ""
}
