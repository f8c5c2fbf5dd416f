package transfer

import (
	"errors"
	"fmt"
	"syscall"

	"golang.org/x/sys/unix"
)

// A Side is one of the two ends of a transfer.
type Side uint8

// The sides.
const (
	Neither Side = iota
	Source
	Destination
)

func (s Side) String() string { return [...]string{"neither side", "source", "destination"}[s] }

// An Error says which operation failed on which side of a transfer. Err is the true errno of
// that side.
type Error struct {
	Op   string // the system call: "splice", "sendfile", "copy_file_range", "read", "write"; "poll" for what a wait has seen
	Side Side
	Err  error
}

func (e *Error) Error() string { return fmt.Sprintf("%s %s: %v", e.Op, e.Side, e.Err) }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Errors that are not an errno of one of the sides. Both have a method Timeout() bool that
// returns true, as the timeouts of package net have.
var (
	ErrIdle     error = timeout("no byte in either direction for the time allowed")
	ErrPeerGone error = timeout("the peer has not answered for two minutes")
)

// timeout is an error of silence.
type timeout string

func (e timeout) Error() string { return string(e) }
func (timeout) Timeout() bool   { return true }

// IsReset tells whether err says that the peer broke the connection off.
func IsReset(err error) bool {
	return errors.Is(err, unix.ECONNRESET) || errors.Is(err, unix.EPIPE)
}

// refusal tells whether a kernel path said no where reading and writing may still
// work. Any other error is final: a socket gives its error only once, and a read
// after it would look like the end of the stream.
func refusal(err error, e *Endpoint) bool {
	if !e.kind.Socket() {
		return err != unix.EPIPE // read or write will succeed, or say what is true of this side
	}
	switch err.(syscall.Errno) {
	case unix.ECONNRESET, unix.EPIPE, unix.ETIMEDOUT, unix.EHOSTUNREACH, unix.ENETUNREACH, unix.ENETDOWN,
		unix.ECONNABORTED, unix.ENOTCONN, unix.ECONNREFUSED, unix.EHOSTDOWN, unix.ENETRESET, unix.ENOBUFS:
		return false
	}
	return true
}
