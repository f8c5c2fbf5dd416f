package transfer

const (
	smallRead  = 16 << 10 // most bytes of a small step; one that moves them all makes a flow bulk
	memoryRead = 64 << 10 // most bytes of a large step where there is no pipe
	drained    = 32 << 10 // a large step that moves less has probably left nothing
	calmAfter  = 16       // so many large steps in a row below smallRead, and they are small again
	stepsATurn = 4        // steps before others have their turn
)

// ready is told what the poller says of one end.
func (l *loop) ready(k *link, end int, events uint32) {
	if k.dial != nil {
		l.readyWhileDialing(k, end, events)
		return
	}
	out, in := &k.flows[end], &k.flows[1-end]
	if events&pollIn != 0 && out.need == wantSrc && !out.over {
		out.srcReady = true
		l.drive(k, end)
	}
	if events&pollOut != 0 && in.need == wantDst && !in.over && !k.over {
		in.dstReady = true
		l.drive(k, 1-end)
	}
	switch {
	case k.over:
	case events&pollErr != 0:
		l.lastWords(k, end)
		l.endBroken(k, end, socketError(k.ends[end].fd))
	case k.flush:
		l.tryFlush(k)
	default:
		l.ask(k)
	}
}

func (l *loop) readyWhileDialing(k *link, end int, events uint32) {
	switch {
	case end == targetEnd && events&(pollOut|pollErr|pollHup) != 0:
		l.attemptEnded(k, events)
	case end == clientEnd && events&pollErr != 0:
		l.endBroken(k, clientEnd, socketError(k.ends[clientEnd].fd))
	}
}

// drive steps one flow until it waits, or others should have their turn. The poller reports
// levels, so a step that moved little is taken to have emptied the source: if it
// has not, the next wait says so, and one call in vain is saved each time.
func (l *loop) drive(k *link, i int) {
	f := &k.flows[i]
	before := f.Bytes.Load()
	f.until = 0
	for range stepsATurn {
		n := int64(quantum)
		if f.limits != nil {
			m, wait := f.limits.allowance(l.clock())
			if wait > 0 {
				f.need, f.until = wantMore, l.now+int64(wait)
				l.schedule(k, f.until)
				break
			}
			n = min(n, m)
		}
		at := f.Bytes.Load()
		w, err := f.step(f.aim(n))
		moved := f.Bytes.Load() - at
		if f.limits != nil {
			f.limits.took(moved, l.clock())
		}
		if err != nil || w == ended {
			l.account(k, i, before)
			if err != nil {
				l.stepFailed(k, i, err)
			} else {
				l.flowEnded(k, i)
			}
			return
		}
		f.need = w
		if f.judge(moved) {
			break
		}
	}
	if f.need == wantMore && f.until == 0 {
		f.need = wantSrc
	}
	f.rest()
	l.account(k, i, before)
}

// aim chooses the path of the next step and how many bytes it may move. Few bytes go
// through memory: that is two short calls, where splice also has to make pages of them.
func (f *flow) aim(n int64) int64 {
	switch {
	case f.held() > 0:
		return n // to be delivered first; the path stays as it is
	case !f.bulk:
		f.plan = viaMemory
		return min(n, smallRead)
	case f.memory:
		f.plan = viaMemory
		return min(n, memoryRead)
	case f.starved:
		n = min(n, memoryRead) // if there is still no pipe
	}
	f.plan, f.noPipe = viaPipe, false
	return n
}

// judge looks at what a step has moved and tells whether it is time to wait.
func (f *flow) judge(moved int64) bool {
	if f.need != wantMore {
		return true
	}
	if !f.bulk {
		f.bulk = moved >= smallRead
		return !f.bulk
	}
	if f.plan[0] == ReadWrite {
		f.memory = true // the kernel has refused splice
	}
	if moved >= smallRead {
		f.small = 0
	} else if f.small++; f.small >= calmAfter {
		f.small, f.bulk = 0, false
	}
	return moved < drained
}

// account adds to the totals what a flow has moved since it stood at before.
func (l *loop) account(k *link, i int, before int64) {
	f := &k.flows[i]
	if moved := f.Bytes.Load() - before; moved > 0 {
		k.moved = l.now
		l.bytes[i].Add(moved)
		f.rate.moved(l.now, f.Bytes.Load())
		if k.look == 0 {
			k.look = l.now + int64(nextLook)
			l.schedule(k, k.look)
		}
	}
	if f.noPipe != f.starved {
		f.starved = f.noPipe
		if f.starved {
			l.noPipe.Add(1)
		}
	}
}
