package transfer

import (
	"context"
	"os"

	"golang.org/x/sys/unix"
)

// A wake is a pipe whose read end becomes readable when a context ends, so that a
// thread in poll(2) learns of it.
type wake struct{ r, w int }

// on opens the pipe and ties it to ctx until stop is called.
func (k *wake) on(ctx context.Context) (stop func(), err error) {
	var p [2]int
	if err := newPipe(&p); err != nil {
		return nil, os.NewSyscallError("pipe", err)
	}
	k.r, k.w = p[0], p[1]
	done := make(chan struct{})
	cancel := context.AfterFunc(ctx, func() {
		defer close(done)
		_, _ = unix.Write(p[1], []byte{0}) // one byte into an empty pipe of ours is always taken
	})
	return func() {
		if !cancel() {
			<-done // the write end is closed only after the write
		}
		unix.Close(p[0])
		unix.Close(p[1])
	}, nil
}

func (k *wake) fd() int { return k.r }
