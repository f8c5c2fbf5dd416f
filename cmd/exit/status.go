package exit

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/zcp-go/zcp/cmd/text"
)

// The exit statuses; zcp(1), EXIT STATUS.
const (
	OK         = 0
	Failed     = 1 // an I/O or network error
	BadUsage   = 2
	Incomplete = 3 // fewer bytes than promised
	Unproven   = 4 // what arrived is not what was to arrive
	TimedOut   = 5
	Changed    = 6 // the source changed while it was sent
)

// Usage is a command line, or an environment, that zcp cannot make sense of. Nothing has
// been opened and nothing sent when it is returned.
type Usage struct {
	Text string
	Hint string // what to type instead; may be empty
}

func (e *Usage) Error() string { return e.Text }

// ExitStatus is [BadUsage].
func (e *Usage) ExitStatus() int { return BadUsage }

// Usagef makes a Usage error. What does not show as itself is escaped.
func Usagef(format string, args ...any) *Usage {
	return &Usage{Text: text.Escape(fmt.Sprintf(format, args...))}
}

// WithHint returns e with a second line that says what to do.
func (e *Usage) WithHint(format string, args ...any) *Usage {
	e.Hint = text.Escape(fmt.Sprintf(format, args...))
	return e
}

// Failure is an error in the user's words together with its exit status, and a hint where
// one helps.
type Failure struct {
	Err    error
	Status int
	Hint   string
}

func (e *Failure) Error() string { return e.Err.Error() }
func (e *Failure) Unwrap() error { return e.Err }

// ExitStatus is Status, or [Failed] where none was given.
func (e *Failure) ExitStatus() int {
	if e.Status == OK {
		return Failed
	}
	return e.Status
}

// Signaled says that a signal ended the program, which is to die of it.
type Signaled struct{ Signal unix.Signal }

func (e *Signaled) Error() string {
	switch e.Signal {
	case unix.SIGINT:
		return "interrupted"
	case unix.SIGQUIT:
		return "stopped by SIGQUIT"
	case unix.SIGHUP:
		return "stopped by SIGHUP"
	}
	return e.Signal.String() // terminated, broken pipe
}

// ExitStatus is what a shell makes of a process that died of the signal.
func (e *Signaled) ExitStatus() int { return 128 + int(e.Signal) }

// StdoutClosed ends the program as it ends cat when the reader of standard output has gone:
// by SIGPIPE, without a message.
var StdoutClosed = &Signaled{unix.SIGPIPE}

// Reported marks an error that was shown already: it only counts for the exit status. It is nil for nil.
func Reported(err error) error {
	if err == nil {
		return nil
	}
	return &reported{err}
}

type reported struct{ error }

func (r *reported) Unwrap() error { return r.error }

// IsReported tells whether err was shown already.
func IsReported(err error) bool {
	_, ok := errors.AsType[*reported](err)
	return ok
}

// Status returns the exit status of a process that ended with err: [OK] for nil, what the
// error's ExitStatus method says, otherwise [Failed].
func Status(err error) int {
	if err == nil {
		return OK
	}
	var known interface{ ExitStatus() int }
	if errors.As(err, &known) {
		return known.ExitStatus()
	}
	return Failed
}

// Hint returns the hint that belongs to err, or "".
func Hint(err error) string {
	if e, ok := errors.AsType[*Usage](err); ok {
		return e.Hint
	}
	if e, ok := errors.AsType[*Failure](err); ok {
		return e.Hint
	}
	return ""
}
