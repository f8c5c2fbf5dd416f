//go:build race && linux

package pipepool

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// Under the race detector every Put asks the kernel whether the pipe is as empty as its Len says. A program that counts
// wrongly would hand one user's bytes to another; its tests should not. A kernel that refuses the question proves
// nothing.
const verify = true

func (p *Pipe) mustBeEmpty() {
	n, err := unix.IoctlGetInt(p.r, unix.TIOCINQ)
	for err == unix.EINTR { // nothing interrupts it but a test
		n, err = unix.IoctlGetInt(p.r, unix.TIOCINQ)
	}
	if err == nil && n != 0 {
		panic(fmt.Sprintf("pipepool: Put of a pipe with Len 0 that holds %d bytes", n))
	}
}
