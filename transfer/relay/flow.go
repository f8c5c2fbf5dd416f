package relay

import (
	"github.com/zcp-go/zcp/transfer"
	"github.com/zcp-go/zcp/transfer/internal/sock"
)

const (
	smallRead  = 16 << 10 // most bytes of a small step; one that moves them all makes a flow bulk
	memoryRead = 64 << 10 // most bytes of a large step where there is no pipe
	drained    = 32 << 10 // a large step that moves less has probably left nothing
	calmAfter  = 16       // so many large steps in a row below smallRead, and they are small again
	stepsATurn = 4        // steps before the loop goes on to the next event
)

// ready handles what the poller reports of one end.
func (k *link) ready(end int, events uint32) {
	if k.dial != nil {
		k.readyWhileDialing(end, events)
		return
	}
	out, in := &k.flows[end], &k.flows[1-end]
	if events&pollIn != 0 && out.need == transfer.WantSrc && !out.over {
		out.Ready(transfer.WantSrc)
		k.drive(end)
	}
	if events&pollOut != 0 && in.need == transfer.WantDst && !in.over && !k.over {
		in.Ready(transfer.WantDst)
		k.drive(1 - end)
	}
	switch {
	case k.over:
	case events&pollErr != 0:
		k.drainBroken(end)
		k.endBroken(end, sock.Error(k.ends[end].FD()))
	case k.flush:
		k.tryFlush()
	default:
		k.ask()
	}
}

func (k *link) readyWhileDialing(end int, events uint32) {
	switch {
	case end == targetEnd && events&(pollOut|pollErr|pollHup) != 0:
		k.attemptEnded(events)
	case end == clientEnd && events&pollErr != 0:
		k.endBroken(clientEnd, sock.Error(k.ends[clientEnd].FD()))
	}
}

// drive steps one flow until it waits, or for stepsATurn. The poller is level-triggered, so a
// step that moved little is taken to have emptied the source: if it has not, the next wait
// reports it, and a call that would return EAGAIN is saved each time.
func (k *link) drive(i int) {
	l := k.loop
	f := &k.flows[i]
	before := f.Bytes.Load()
	f.until = 0
	for range stepsATurn {
		n := int64(transfer.Quantum)
		if f.limits != nil {
			m, wait := f.limits.allowance(l.clock())
			if wait > 0 {
				f.need, f.until = transfer.WantMore, l.now+int64(wait)
				k.schedule(f.until)
				break
			}
			n = min(n, m)
		}
		at := f.Bytes.Load()
		w, err := f.Step(n)
		moved := f.Bytes.Load() - at
		if f.limits != nil {
			f.limits.took(moved, l.clock())
		}
		if err != nil || w == transfer.Ended {
			k.account(i, before)
			if err != nil {
				k.stepFailed(i, err)
			} else {
				k.flowEnded(i)
			}
			return
		}
		f.need = w
		if f.updateMode(moved) {
			break
		}
	}
	if f.need == transfer.WantMore && f.until == 0 {
		f.need = transfer.WantSrc
	}
	f.Release()
	k.account(i, before)
}

// Next chooses the path of a step. Few bytes go through memory: that is two short calls, where
// splice also has to make pages of them.
func (f *flow) Next(n int64) (transfer.Path, int64) {
	switch {
	case !f.bulk:
		return transfer.ReadWrite, min(n, smallRead)
	case f.memory:
		return transfer.ReadWrite, min(n, memoryRead)
	case f.starved:
		n = min(n, memoryRead) // if there is still no pipe
	}
	return transfer.SplicePipe, n
}

// Refuse keeps to memory after the kernel has refused splice.
func (f *flow) Refuse(transfer.Path) { f.memory = true }

// updateMode switches between small and large steps by what a step has moved, and reports
// whether to wait now.
func (f *flow) updateMode(moved int64) bool {
	if f.need != transfer.WantMore {
		return true
	}
	if !f.bulk {
		f.bulk = moved >= smallRead
		return !f.bulk
	}
	if moved >= smallRead {
		f.small = 0
	} else if f.small++; f.small >= calmAfter {
		f.small, f.bulk = 0, false
	}
	return moved < drained
}

// account adds to the totals what a flow has moved since its count was before.
func (k *link) account(i int, before int64) {
	l := k.loop
	f := &k.flows[i]
	if moved := f.Bytes.Load() - before; moved > 0 {
		k.moved = l.now
		l.bytes[i].Add(moved)
		f.rate.moved(l.now, f.Bytes.Load())
		if k.nextCheck == 0 {
			k.nextCheck = l.now + int64(nextCheckAfter)
			k.schedule(k.nextCheck)
		}
	}
	if f.Starved() != f.starved {
		f.starved = f.Starved()
		if f.starved {
			l.noPipe.Add(1)
		}
	}
}
