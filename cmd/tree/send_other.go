//go:build !linux

package tree

import (
	"context"
	"errors"

	"github.com/zcp-go/zcp/transfer"
)

// errUnsupported is what other systems than Linux say.
var errUnsupported = errors.New("trees need Linux")

// A Sender sends trees, on Linux.
type Sender struct {
	Transfer *transfer.Transfer
	Dst      *transfer.Endpoint
	Source   Source
	Count    *Count
	Measure  bool
}

// Send says that this system has no trees.
func (s *Sender) Send(context.Context) error { return errUnsupported }

// Failed returns nil.
func (s *Sender) Failed() error { return nil }

// Close does nothing.
func (s *Sender) Close() {}
