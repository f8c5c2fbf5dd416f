package cmd

import (
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/zcp-go/zcp/cmd/conf"
	"github.com/zcp-go/zcp/cmd/exit"
	"github.com/zcp-go/zcp/transfer"
)

// TestOneTable: the same error of a peer, and of a file, has the same status and words in
// send, recv, cat and relay -.
func TestOneTable(t *testing.T) {
	failed := func(r role, side transfer.Side, err error) error {
		j := newJob(nil, r, conf.Transfer{}, conf.Length{Size: -1}, 0)
		j.from, j.to = "a", "b"
		return j.failure(&transfer.Error{Side: side, Err: err})
	}
	relayed := func(side transfer.Side, down bool, err error) error {
		return (&stdio{peer: "b"}).failure(&transfer.ExchangeError{Down: down, Err: &transfer.Error{Side: side, Err: err}})
	}
	for _, tc := range []struct {
		err         error
		peer, local int
		words       string // of the peer's
	}{
		{unix.ECONNRESET, 3, 1, "connection reset by peer"}, {unix.EPIPE, 3, 1, "connection reset by peer"},
		{unix.ETIMEDOUT, 5, 5, "connection timed out"}, {unix.EHOSTUNREACH, 5, 1, "no route to host"},
		{unix.ENETUNREACH, 5, 1, "network is unreachable"}, {unix.EIO, 1, 1, "input/output error"},
		{transfer.ErrIdle, 5, 5, transfer.ErrIdle.Error()}, {transfer.ErrPeerGone, 5, 5, transfer.ErrPeerGone.Error()},
	} {
		for name, err := range map[string]error{
			"send": failed(sending, transfer.Destination, tc.err), "recv": failed(receiving, transfer.Source, tc.err),
			"relay - up": relayed(transfer.Destination, false, tc.err), "relay - down": relayed(transfer.Source, true, tc.err),
		} {
			if exit.Status(err) != tc.peer || !strings.Contains(err.Error(), " to b: "+tc.words+" after ") {
				t.Errorf("%s, %v of the peer: %d, %v, want %d", name, tc.err, exit.Status(err), err, tc.peer)
			}
		}
		for name, err := range map[string]error{
			"send": failed(sending, transfer.Source, tc.err), "recv": failed(receiving, transfer.Destination, tc.err),
			"cat from": failed(copying, transfer.Source, tc.err), "cat to": failed(copying, transfer.Destination, tc.err),
			"relay -": relayed(transfer.Source, false, tc.err),
		} {
			if exit.Status(err) != tc.local {
				t.Errorf("%s, %v of a file: %d, %v, want %d", name, tc.err, exit.Status(err), err, tc.local)
			}
		}
	}
}
