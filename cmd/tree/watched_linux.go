package tree

import (
	"fmt"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/zcp-go/zcp/cmd/text"
	"github.com/zcp-go/zcp/transfer"
)

const (
	// watched is how many files at most are kept open until the peer has acknowledged them, and
	// fewWatched where descriptors are few. They hold at least 64 KiB each, so even the few are
	// more than a socket's buffer holds by default (tcp_wmem, 4 MiB).
	watched    = 4096
	fewWatched = 128
)

// sent is a file whose pages may be in use.
type sent struct {
	e    *transfer.Endpoint
	name string
	end  int64 // bytes of the stream up to its end
}

// mostWatched leaves three quarters of the descriptors to others.
var mostWatched = sync.OnceValue(func() int {
	var limit unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &limit) != nil {
		return fewWatched
	}
	return int(min(max(uint64(limit.Cur)/4, fewWatched), watched))
})

// settle ends the watch over files that the peer has acknowledged, and over the oldest where
// more than most are open.
func (s *Sender) settle(most int) {
	queued, err := s.Dst.Unacked()
	if err != nil {
		queued = 0 // the connection is beyond use, and the transfer will say so
	}
	acked := s.Transfer.Stats.Bytes.Load() - queued
	for len(s.open) > 0 && (s.open[0].end <= acked || len(s.open) >= most) {
		s.verify(s.open[0])
		s.open = s.open[1:]
	}
}

func (s *Sender) verify(f sent) {
	switch f.e.Verify() {
	case transfer.Changed:
		s.report(changed(f.name, "changed while it was being sent: what arrived may be a mixture"))
	case transfer.Grew:
		s.Source.Note(fmt.Sprintf("%s has grown while it was being sent: what was sent is what it held at the start", text.Quote(f.name)))
	}
	f.e.Close() // it was only read from
}

// Close ends the watch over all files that were sent; when it is called the peer has closed, or
// the transfer has failed.
func (s *Sender) Close() {
	for _, f := range s.open {
		s.verify(f)
	}
	s.open = nil
}
