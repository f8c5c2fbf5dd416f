package transfer_test

import (
	"context"
	"fmt"
	"io"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/zcp-go/zcp/transfer"
	"github.com/zcp-go/zcp/transfer/internal/bed"
)

// A stalled is a transfer that waits for a neighbour who does nothing.
type stalled struct {
	name   string
	tr     *transfer.Transfer
	done   <-chan outcome
	cancel context.CancelFunc
}

// stall starts a transfer and waits until it waits for side.
func stall(t testing.TB, name string, tr *transfer.Transfer, dst, src *transfer.Endpoint, side transfer.Side) stalled {
	t.Helper()
	ctx, cancel := context.WithCancel(bedContext(t))
	s := stalled{name, tr, moving(ctx, tr, dst, src, -1), cancel}
	waitsFor(t, tr, side)
	return s
}

// silentSources are transfers that moved some bytes and then wait for more.
func silentSources(t testing.TB) (all []stalled) {
	for _, memory := range []bool{false, true} {
		for _, src := range sources {
			for _, dst := range sinks {
				if !src.streams() || dst.twin || dst.kind == transfer.Block {
					continue
				}
				from, w := src.open(t, nil)
				to, r, _ := dst.open(t)
				if r != nil {
					bed.DrainAll(r, -1, nil)
				}
				bed.Must(w.Write(bed.Noise(1000, 1)))(t)
				tr := &transfer.Transfer{NoSplice: memory, PipeSize: pipeSize}
				name := fmt.Sprintf("silent %s to %s, memory %v", src.name, dst.name, memory)
				all = append(all, stall(t, name, tr, to, from, transfer.Source))
				bed.Until(t, "the first bytes", func() bool { return tr.Stats.Bytes.Load() == 1000 })
			}
		}
	}
	return all
}

// fullSinks are transfers whose reader does not read.
func fullSinks(t testing.TB) (all []stalled) {
	for _, memory := range []bool{false, true} {
		for _, src := range sources {
			for _, dst := range sinks {
				if !dst.streams() || src.fixed != "" || src.twin || src.kind == transfer.Block {
					continue
				}
				data := dataFor(t, src, large)
				from, w := src.open(t, data)
				if w != nil {
					go feed(w, data, true)
				}
				to, r, _ := dst.open(t)
				smallBuffers(t, to, r)
				tr := &transfer.Transfer{NoSplice: memory, PipeSize: pipeSize}
				name := fmt.Sprintf("%s to full %s, memory %v", src.name, dst.name, memory)
				all = append(all, stall(t, name, tr, to, from, transfer.Destination))
			}
		}
	}
	return all
}

// oddStalls are the waits that poll is not quiet about, or that have a clock of their own.
func oddStalls(t testing.TB) (all []stalled) {
	add := func(name string, tr *transfer.Transfer, dst, src *transfer.Endpoint, side transfer.Side) {
		all = append(all, stall(t, name, tr, dst, src, side))
	}
	null := func() *transfer.Endpoint { e, _, _ := nullSink(t); return e }
	r, w := newTCP(t)
	bed.Urge(t, far(t, w))
	add("urgent byte and nothing else", new(transfer.Transfer), null(), own(t, r), transfer.Source)

	r, w = newTCP(t)
	writer := far(t, w)
	bed.Must(writer.Write(bed.Noise(1000, 1)))(t)
	bed.Urge(t, writer)
	add("urgent byte at the end so far", new(transfer.Transfer), null(), own(t, r), transfer.Source)

	pr, _ := newPipe(t)
	a, b := newTCP(t)
	if err := unix.Shutdown(b, unix.SHUT_WR); err != nil {
		t.Fatal(err)
	}
	add("peer that ended its direction", &transfer.Transfer{Discard: true}, own(t, a), own(t, pr), transfer.Source)

	pr, _ = newPipe(t)
	add("waiting with a limit of idleness", &transfer.Transfer{Idle: time.Hour}, null(), own(t, pr), transfer.Source)

	file, _ := fileSource(t, bed.Noise(large, 2))
	pr, pw := newPipe(t)
	far(t, pr)
	add("file under a lease to a full pipe", &transfer.Transfer{PipeSize: pipeSize}, own(t, pw), file, transfer.Destination)

	slave, master := newTerminal(t)
	file, _ = fileSource(t, bed.Noise(large, 2))
	hungUp := own(t, master)
	unix.Close(slave)
	add("terminal whose other side is closed", new(transfer.Transfer), hungUp, file, transfer.Destination)

	for _, pair := range []func(testing.TB) (int, int){newPipe, newTCP, newUnix} { // that block, as inherited ones do
		r, _ := pair(t)
		_, w := pair(t)
		from, to := bed.Must(transfer.NewEndpoint(r))(t), bed.Must(transfer.NewEndpoint(w))(t)
		t.Cleanup(func() { unix.Close(r); unix.Close(w) })
		file := holeSource(t, 24<<20)
		add("blocking silent "+from.Kind().String(), new(transfer.Transfer), null(), from, transfer.Source)
		add("blocking full "+to.Kind().String(), new(transfer.Transfer), to, file, transfer.Destination)
	}
	return all
}

// finishing are connections on which everything was sent and the sender waits for the peer.
func finishing(t testing.TB) (all []stalled) {
	for _, c := range []struct {
		name        string
		early, read bool
	}{{name: "not acknowledged"}, {name: "not acknowledged, ended early", early: true}, {name: "stays open", read: true}} {
		conn, p := meet(t, "tcp")
		if c.early {
			p.closeWrite()
		}
		if c.read {
			go io.Copy(io.Discard, p)
		} else {
			smallReceiver(t, p, conn)
		}
		tr := &transfer.Transfer{Discard: true}
		src, _ := fileSource(t, bed.Noise(150000, 7))
		ctx, cancel := context.WithCancel(bedContext(t))
		if _, err := tr.Move(ctx, conn.Endpoint, src, -1); err != nil {
			t.Fatal(err)
		}
		done := make(chan outcome, 1)
		go func() {
			_, err := tr.Finish(ctx, conn, bed.Patience)
			done <- outcome{0, err}
		}()
		waitsFor(t, tr, transfer.Destination)
		all = append(all, stalled{"finishing, " + c.name, tr, done, cancel})
	}
	return all
}

// TestStalledTransfersCostNothing waits for a second with every kind of neighbour that does
// nothing, all at once. Each of them is allowed a thousandth of a processor: they look four
// times a second whether a writer wants their file.
func TestStalledTransfersCostNothing(t *testing.T) {
	all := silentSources(t)
	all = append(all, fullSinks(t)...)
	all = append(all, oddStalls(t)...)
	all = append(all, finishing(t)...)
	promised := time.Duration(len(all)) * time.Millisecond
	spent := bed.WhileNothingMoves(t, time.Second)
	if spent > promised { // once may be the machine's doing
		spent = bed.WhileNothingMoves(t, time.Second)
	}
	t.Logf("%d transfers spent %v in a second of waiting", len(all), spent)
	for _, s := range all {
		if o, _ := s.tr.Stats.Waiting(); o == transfer.Neither && len(s.done) > 0 {
			t.Errorf("%s: does not wait any more: %v", s.name, <-s.done)
		}
	}
	worst, name := time.Duration(0), ""
	for i := len(all) - 1; i >= 0; i-- {
		before := time.Duration(0)
		if spent > promised { // who was it?
			before = bed.WhileNothingMoves(t, 100*time.Millisecond)
		}
		all[i].cancel()
		<-all[i].done
		if spent > promised {
			if saved := before - bed.WhileNothingMoves(t, 100*time.Millisecond); saved > worst {
				worst, name = saved, all[i].name
			}
		}
	}
	if spent > promised {
		t.Errorf("%v of processor time, want less than %v for all; the most (%v in 100ms) for: %s", spent, promised, worst, name)
	}
}
