package files

import (
	"golang.org/x/sys/unix"

	"github.com/zcp-go/zcp/cmd/atstart"
	"github.com/zcp-go/zcp/cmd/exit"
	"github.com/zcp-go/zcp/cmd/text"
	"github.com/zcp-go/zcp/transfer"
)

// A Name says where bytes come from or go to.
type Name struct {
	Path string // a file, FIFO or device; empty: the descriptor FD
	FD   int    // inherited
	Text string // what was typed
}

// String is the name in the user's words, fit for a terminal.
func (n Name) String() string { return text.Quote(n.Text) }

// problem puts an error in words: the name, then what is wrong with it.
func (n Name) problem(err error) error {
	return exit.Classify(err, exit.Where{Subject: n.String()})
}

// Inherited returns EBADF where fd was not inherited. What came through execve(2) is not
// close-on-exec, and all that this process opens is: a number that was not passed may be
// one of the runtime's own.
func Inherited(fd int) error {
	if atstart.Closed(fd) {
		return unix.EBADF
	}
	flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
	if err == nil && flags&unix.FD_CLOEXEC != 0 {
		err = unix.EBADF
	}
	return err
}

// inherit returns the end that a descriptor is.
func (n Name) inherit() (*transfer.Endpoint, error) {
	if err := Inherited(n.FD); err != nil {
		return nil, err
	}
	return transfer.Inherit(n.FD)
}
