package exit

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/zcp-go/zcp/cmd/text"
)

// Place says at which end an error came up, and when.
type Place uint8

const (
	Local      Place = iota // a file, pipe, device or terminal of this process
	Stdout                  // standard output, by whatever name
	Connecting              // a lookup, or a connection that did not come to be
	Listening               // a socket that is to listen, or that listens
	Connected               // a connection that stood
)

// Where describes an error for [Classify].
type Where struct {
	Place    Place
	Subject  string        // what the message begins with: operands in the user's words; may be empty
	After    string        // how far it got, "1.20GiB"; empty: nothing was to move yet
	Patience time.Duration // how long Connecting has waited; 0: not known
}

// Classify puts an error into the user's words and gives it a status. What has both
// already (a [Usage], a [Failure], a [Signaled]) is returned as it is.
//
// A reset is 3 and a timeout 5 wherever a peer is involved, a refusal 1. EHOSTUNREACH and
// EHOSTDOWN mean that the other host did not answer, not even to ARP, so they are 5 too.
// ENETUNREACH and ENETDOWN are this host's own answer while connecting, 1; on a
// connection that stood they only give the silence of the peer its name (tcp(7)), 5.
func Classify(err error, at Where) error {
	if settled := settle(err); err == nil || settled != nil {
		return settled
	}
	f := &Failure{}
	f.Status, f.Hint, f.Err = judge(err, at)
	if f.Err == error(StdoutClosed) {
		return StdoutClosed
	}
	if at.Subject != "" {
		f.Err = fmt.Errorf("%s: %w", at.Subject, f.Err)
	}
	if at.After != "" {
		f.Err = fmt.Errorf("%w after %s", f.Err, at.After)
	}
	return f
}

// settle returns the part of err that has its words and status already, or nil.
func settle(err error) error {
	if e, ok := errors.AsType[*Signaled](err); ok {
		return e
	}
	if e, ok := errors.AsType[*Usage](err); ok {
		return e
	}
	if e, ok := errors.AsType[*Failure](err); ok {
		return e
	}
	return nil
}

// Reason returns the words alone: what [Classify] says behind the subject.
func Reason(err error, place Place) string {
	if settled := settle(err); settled != nil {
		return settled.Error()
	}
	_, _, cause := judge(err, Where{Place: place})
	return cause.Error()
}

// judge is the table.
func judge(err error, at Where) (status int, hint string, cause error) {
	peer := at.Place == Connected || at.Place == Connecting
	dns, ofName := errors.AsType[*net.DNSError](err)
	switch is := func(errno syscall.Errno) bool { return errors.Is(err, errno) }; {
	case at.Place == Stdout && is(unix.EPIPE):
		return StdoutClosed.ExitStatus(), "", StdoutClosed
	case ofName && dns.IsNotFound && strings.Contains(dns.Err, "unknown port"):
		// The system has no name for the port: a mistake on the command line that is seen when the name is looked up.
		return BadUsage, "", errors.New("no such service")
	case ofName && dns.IsNotFound:
		return Failed, "", errors.New("no such host")
	case ofName && timeout(err):
		return TimedOut, "", noLookup(dns)
	case ofName:
		return Failed, "", noLookup(dns)
	case timeout(err) && at.Place == Connecting:
		return TimedOut, "", noAnswer(at.Patience)
	case timeout(err):
		return TimedOut, "", Cause(err)
	case peer && (is(unix.ECONNRESET) || is(unix.EPIPE)):
		return Incomplete, "", unix.ECONNRESET // EPIPE is what a write after the reset says
	case peer && (is(unix.EHOSTUNREACH) || is(unix.EHOSTDOWN)),
		at.Place == Connected && (is(unix.ENETUNREACH) || is(unix.ENETDOWN)):
		return TimedOut, "", Cause(err)
	case at.Place == Listening && is(unix.EACCES):
		return Failed, "ports below 1024 are for root (or CAP_NET_BIND_SERVICE)", unix.EACCES
	}
	return Failed, "", Cause(err)
}

func noLookup(e *net.DNSError) error { return errors.New("cannot look up the name: " + e.Err) }

// timeout tells whether a time limit has passed. EAGAIN, which calls itself a timeout
// (syscall.Errno), is not one.
func timeout(err error) bool {
	var t interface{ Timeout() bool }
	return errors.As(err, &t) && t.Timeout() && !errors.Is(err, unix.EAGAIN)
}

func noAnswer(patience time.Duration) error {
	if patience <= 0 {
		return errors.New("no answer in time")
	}
	return fmt.Errorf("no answer within %s", text.Duration(patience))
}

// Cause strips from an error what packages os and net put around an errno: the operation,
// the path, "dial tcp 127.0.0.1:9: connect:". Messages name these in the user's words.
func Cause(err error) error {
	for {
		var inner error
		if e, ok := errors.AsType[*net.AddrError](err); ok {
			return errors.New(e.Err)
		} else if e, ok := errors.AsType[*net.OpError](err); ok {
			inner = e.Err
		} else if e, ok := errors.AsType[*fs.PathError](err); ok {
			inner = e.Err
		} else if e, ok := errors.AsType[*os.LinkError](err); ok {
			inner = e.Err
		} else if e, ok := errors.AsType[*os.SyscallError](err); ok {
			inner = e.Err
		} else {
			return err
		}
		err = inner
	}
}
