package exit

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// silence is a time limit that has passed, as package transfer has them.
type silence struct{}

func (silence) Error() string { return "silence" }
func (silence) Timeout() bool { return true }

// dialed wraps an errno as package net does.
func dialed(err error) error {
	return &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", err)}
}

// TestTable is the table of errno x place: what is said and the status.
func TestTable(t *testing.T) {
	type verdict struct {
		status int
		words  string
	}
	const reset = "connection reset by peer"
	for _, tc := range []struct {
		err  error
		want map[Place]verdict
	}{
		{unix.ECONNRESET, map[Place]verdict{Local: {1, reset}, Stdout: {1, reset}, Connecting: {3, reset}, Listening: {1, reset}, Connected: {3, reset}}},
		{unix.EPIPE, map[Place]verdict{Local: {1, "broken pipe"}, Stdout: {141, ""}, Connecting: {3, reset}, Listening: {1, "broken pipe"}, Connected: {3, reset}}},
		{unix.ETIMEDOUT, map[Place]verdict{Local: {5, "connection timed out"}, Connecting: {5, "no answer within 3.0s"}, Connected: {5, "connection timed out"}}},
		{silence{}, map[Place]verdict{Local: {5, "silence"}, Connecting: {5, "no answer within 3.0s"}, Connected: {5, "silence"}}},
		{context.DeadlineExceeded, map[Place]verdict{Connecting: {5, "no answer within 3.0s"}}},
		{unix.EAGAIN, map[Place]verdict{Local: {1, "resource temporarily unavailable"}, Connecting: {1, "resource temporarily unavailable"}}},
		{unix.ECONNREFUSED, map[Place]verdict{Local: {1, "connection refused"}, Connecting: {1, "connection refused"}, Connected: {1, "connection refused"}}},
		{unix.EHOSTUNREACH, map[Place]verdict{Local: {1, "no route to host"}, Connecting: {5, "no route to host"}, Listening: {1, "no route to host"}, Connected: {5, "no route to host"}}},
		{unix.EHOSTDOWN, map[Place]verdict{Connecting: {5, "host is down"}, Connected: {5, "host is down"}}},
		{unix.ENETUNREACH, map[Place]verdict{Local: {1, "network is unreachable"}, Connecting: {1, "network is unreachable"}, Connected: {5, "network is unreachable"}}},
		{unix.ENETDOWN, map[Place]verdict{Connecting: {1, "network is down"}, Connected: {5, "network is down"}}},
		{unix.EACCES, map[Place]verdict{Local: {1, "permission denied"}, Connecting: {1, "permission denied"}, Listening: {1, "permission denied"}}},
		{unix.EADDRINUSE, map[Place]verdict{Listening: {1, "address already in use"}}},
		{unix.ENOSPC, map[Place]verdict{Local: {1, "no space left on device"}, Stdout: {1, "no space left on device"}}},
		{unix.EIO, map[Place]verdict{Local: {1, "input/output error"}, Connected: {1, "input/output error"}}},
	} {
		for place, want := range tc.want {
			for _, wrapped := range []error{tc.err, dialed(tc.err), &fs.PathError{Op: "open", Path: "x", Err: tc.err}, &os.LinkError{Err: tc.err}} {
				err := Classify(wrapped, Where{Place: place, Subject: "a to b", After: "1.00GiB", Patience: 3 * time.Second})
				words := "a to b: " + want.words + " after 1.00GiB"
				if want.status == 141 {
					words = StdoutClosed.Error()
				}
				if Status(err) != want.status || err.Error() != words {
					t.Errorf("%T %v at %d: %d, %q, want %d, %q", wrapped, tc.err, place, Status(err), err, want.status, words)
				}
			}
		}
	}
}

func TestClassifyNames(t *testing.T) {
	for _, tc := range []struct {
		err    error
		want   string
		status int
	}{
		{&net.OpError{Op: "dial", Err: &net.DNSError{Err: "no such host", Name: "x", IsNotFound: true}}, "x:1: no such host", Failed},
		{&net.OpError{Op: "dial", Err: &net.DNSError{Err: "unknown port tcp/x", IsNotFound: true}}, "x:1: no such service", BadUsage},
		{&net.OpError{Op: "dial", Err: &net.AddrError{Err: "mismatched local address type", Addr: "::1"}}, "x:1: mismatched local address type", Failed},
	} {
		if err := Classify(tc.err, Where{Place: Connecting, Subject: "x:1"}); err.Error() != tc.want || Status(err) != tc.status {
			t.Errorf("%v: %v, %d, want %s", tc.err, err, Status(err), tc.want)
		}
	}
	if err := Classify(unix.EACCES, Where{Place: Listening, Subject: ":80"}); Hint(err) == "" {
		t.Error("no hint for a port that only root may listen on")
	}
}

// TestClassifySettled: what has its words and status keeps them, however deep it lies.
func TestClassifySettled(t *testing.T) {
	for _, settled := range []error{
		&Usage{Text: "u", Hint: "h"}, &Failure{Err: errors.New("f"), Status: Changed, Hint: "h"}, &Signaled{unix.SIGINT}, StdoutClosed,
	} {
		got := Classify(fmt.Errorf("wrapped: %w", settled), Where{Place: Connected, Subject: "s", After: "1B"})
		if got != settled {
			t.Errorf("%v became %v", settled, got)
		}
	}
	if Classify(nil, Where{}) != nil {
		t.Error("nil is an error")
	}
}

func TestReason(t *testing.T) {
	for _, tc := range []struct {
		err   error
		place Place
		want  string
	}{
		{dialed(unix.ECONNREFUSED), Connecting, "connection refused"}, {dialed(unix.ETIMEDOUT), Connecting, "no answer in time"},
		{unix.EPIPE, Connected, "connection reset by peer"}, {&Signaled{unix.SIGTERM}, Connected, "terminated"},
	} {
		if got := Reason(tc.err, tc.place); got != tc.want {
			t.Errorf("%v: %q, want %q", tc.err, got, tc.want)
		}
	}
}

func TestStatus(t *testing.T) {
	for _, tc := range []struct {
		err  error
		want int
	}{
		{nil, 0}, {errors.New("x"), 1}, {&Failure{Err: errors.New("x")}, 1}, {fmt.Errorf("x: %w", &Failure{Err: unix.EIO, Status: TimedOut}), 5},
		{Usagef("x"), 2}, {&Signaled{unix.SIGTERM}, 143}, {Reported(&Failure{Err: unix.EIO, Status: Changed}), 6},
	} {
		if got := Status(tc.err); got != tc.want {
			t.Errorf("%v: %d, want %d", tc.err, got, tc.want)
		}
	}
	if IsReported(unix.EIO) || !IsReported(fmt.Errorf("x: %w", Reported(unix.EIO))) {
		t.Error("IsReported is wrong")
	}
	if got := (&Signaled{unix.SIGQUIT}).Error(); got != "stopped by SIGQUIT" {
		t.Errorf("SIGQUIT is %q", got)
	}
	if e := Usagef("a\x1b[2J").WithHint("b\x1b[2J"); e.Text != `a\x1b[2J` || Hint(e) != `b\x1b[2J` {
		t.Errorf("%q, %q reach a terminal raw", e.Text, e.Hint)
	}
}
