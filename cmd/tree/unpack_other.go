//go:build !linux

package tree

import (
	"context"
	"os"

	"github.com/zcp-go/zcp/transfer"
)

// An Unpacker writes what a tar stream holds into a directory, on Linux.
type Unpacker struct {
	Transfer *transfer.Transfer
	Src      *transfer.Endpoint
	Special  bool
	Fresh    bool
	Owners   bool
	Xattrs   bool
	Count    *Count
	Report   func(error)
	Detail   func(string)
}

// Begin says that this system has no trees.
func (u *Unpacker) Begin(context.Context) error { return errUnsupported }

// Run says the same.
func (u *Unpacker) Run(*os.Root) error { return errUnsupported }

// Failed returns nil.
func (u *Unpacker) Failed() error { return nil }

// Taken returns 0.
func (u *Unpacker) Taken() int64 { return 0 }

// A Target is a DST that is a directory, on Linux.
type Target struct{}

// Look says that this system has no trees.
func Look(path, word string, noClobber bool) (*Target, error) { return nil, errUnsupported }

// Fresh returns false.
func (t *Target) Fresh() bool { return false }

// Open says that this system has no trees.
func (t *Target) Open() (*os.Root, error) { return nil, errUnsupported }

// Commit says the same.
func (t *Target) Commit(sync bool) error { return errUnsupported }

// Abandon returns nothing.
func (t *Target) Abandon() string { return "" }
