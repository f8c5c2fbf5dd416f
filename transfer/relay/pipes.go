package relay

import (
	"time"

	"golang.org/x/sys/unix"

	"github.com/zcp-go/zcp/pipepool"
)

// loopPipes is where a loop's pumps borrow: its own list, the pool, and no more pipes than
// the relay has descriptors for.
type loopPipes struct {
	pipepool.Local
	l       *loop
	refused int64 // when the kernel last granted no pipe, or one that is too small; 0: it does not refuse
}

// leastPipe is the smallest pipe worth splicing through. An unprivileged user who has used
// up pipe-user-pages-soft gets two slots, fewer bytes a call than read and write move.
const leastPipe = 64 << 10

// askAgain is how long a refusal stands, for it costs ten times as much as a step through memory.
const askAgain = int64(100 * time.Millisecond)

// Get returns a pipe, or why there is none: the bytes go on through memory then.
func (p *loopPipes) Get() (*pipepool.Pipe, error) {
	if p.Idle() == 0 {
		if s := p.Pool.Stats(); s.Idle == 0 && (s.Open >= p.l.r.mostPipes || p.refused > 0 && p.l.now-p.refused < askAgain) {
			return nil, unix.EMFILE
		}
	}
	pipe, err := p.Local.Get()
	if err != nil {
		p.refused = p.l.now
		return nil, err
	}
	if pipe.Cap() < leastPipe {
		p.refused = p.l.now
		pipe.Len = -1 // so that Put closes it: other loops would be no better off
		p.Put(pipe)
		return nil, unix.EPERM
	}
	p.refused = 0
	return pipe, nil
}
