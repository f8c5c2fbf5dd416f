package relay

import (
	"github.com/zcp-go/zcp/transfer"
	"github.com/zcp-go/zcp/transfer/internal/sock"
)

// The sizes of steps, in bytes; variables for the benchmarks that chose them. The figures are
// medians of 3 on 2 shared cores over loopback, of the relay and both peers together: a tenth is noise.
var (
	// smallRead is the most of a small step; one that moves as much makes a flow bulk. Messages of 512
	// bytes and 8 KiB cost the same at 1 to 64 KiB (115 us a round); one of 128 KiB goes into memory up
	// to here before it is spliced (BenchmarkSmallRead).
	smallRead int64 = 16 << 10
	// memoryRead is the most of a large step where there is no pipe: 1.2 s of processor time a GB at
	// 64 KiB, 2.2 at 16, 1.4 at 32, 1.1 at 256 (BenchmarkMemoryRead).
	memoryRead int64 = 64 << 10
	// drained is what a large step moves at least if it has probably left something. Messages of
	// 24 KiB take 4 calls and 130 us a round at 32 KiB, 6 and 154 at 8 KiB; bulk is the same at
	// 1 byte to 128 KiB (BenchmarkDrained).
	drained int64 = 32 << 10
	// calmAfter is how many large steps in a row below smallRead make them small again. Between 1 and
	// never there is no difference in time (88 to 93 us a round): what it saves is the pipe (BenchmarkCalmAfter).
	calmAfter int32 = 16
)

const stepsATurn = 4 // before the loop goes on to the next event

// ready handles what the poller reports of one end.
func (k *link) ready(end int, events uint32) {
	if k.greeting != nil {
		k.readGreeting()
		return
	}
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
		if at > 0 && moved > 0 && !k.ends[1-i].prompt {
			k.sendPromptly(1 - i)
		}
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

// sendPromptly has an end send small segments at once, what it holds back as well (tcp_push_pending_frames
// in net/ipv4/tcp.c). It is called behind the second step: the first is never held back, so a short connection is spared the call.
func (k *link) sendPromptly(end int) {
	e := &k.ends[end]
	if e.prompt = true; e.Kind() == transfer.TCP {
		sock.NoDelay(e.FD())
	}
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
		if i == downFlow {
			l.answered()
		}
		k.via.figures.bytes[i].Add(moved)
		k.target.figures.bytes[i].Add(moved)
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
