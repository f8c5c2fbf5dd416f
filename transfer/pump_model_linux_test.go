package transfer

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/zcp-go/zcp/pipepool"
)

// A pumpModel drives one pump by hand, in one thread, over real descriptors, and knows
// where every byte has to be: in the source, in the pump, in the sink, or read from it.
type pumpModel struct {
	t      testing.TB
	p      Pump
	choice choice
	feed   int // the writing end of the source
	tap    int // the reading end of the sink
	sent   []byte
	got    []byte
	ended  bool
	vain   int
}

// The pairs of a model, chosen by its first byte: how to open, and whether the ends block.
var modelPairs = [][2]int{{unix.AF_UNSPEC, unix.AF_UNSPEC}, {unix.AF_UNSPEC, unix.AF_UNIX}, {unix.AF_UNIX, unix.AF_UNSPEC}, {unix.AF_UNIX, unix.AF_UNIX}}

// modelEnds opens a pipe (AF_UNSPEC) or a pair of sockets, as small as they come.
func modelEnds(t testing.TB, family int) (r, w int) {
	t.Helper()
	var fds [2]int
	if family == unix.AF_UNSPEC {
		if err := unix.Pipe2(fds[:], unix.O_CLOEXEC|unix.O_NONBLOCK); err != nil {
			t.Fatal(err)
		}
		_, _ = unix.FcntlInt(uintptr(fds[0]), unix.F_SETPIPE_SZ, 8192) // refused, it is only larger
		return fds[0], fds[1]
	}
	fds, err := unix.Socketpair(family, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	_ = unix.SetsockoptInt(fds[1], unix.SOL_SOCKET, unix.SO_SNDBUF, 8192)
	return fds[0], fds[1]
}

var modelPool = pipepool.Pool{Size: 16384}

// newPumpModel starts a pump as the first byte of the script says.
func newPumpModel(t testing.TB, how byte) *pumpModel {
	pair := modelPairs[how%4]
	sr, sw := modelEnds(t, pair[0])
	dr, dw := modelEnds(t, pair[1])
	m := &pumpModel{t: t, feed: sw, tap: dr}
	if how&4 != 0 { // as inherited descriptors, which block
		_, _ = unix.SetNonblock(sr, false), unix.SetNonblock(dw, false)
	}
	src, err := NewEndpoint(sr)
	if err != nil {
		t.Fatal(err)
	}
	dst, err := NewEndpoint(dw)
	if err != nil {
		t.Fatal(err)
	}
	m.p.Pool, m.p.Choose, m.p.stats = &modelPool, &m.choice, new(Stats)
	m.p.Start(dst, src)
	m.choice.start(dst, src, -1, how&8 != 0)
	if how&16 != 0 && m.choice.left()[0] == Splice {
		m.choice.cheap, m.choice.barred = viaPipe, 0 // as pairs of sockets go
	}
	t.Cleanup(func() {
		for _, fd := range []int{sr, dr, dw, m.feed} {
			unix.Close(fd)
		}
	})
	return m
}

// run plays a script: pairs of bytes, what to do and how much.
func (m *pumpModel) run(script []byte) {
	for ; len(script) >= 2; script = script[2:] {
		op, n := script[0]%8, int(script[1])+1
		switch op {
		case 0, 1:
			m.write(n * n / 4)
		case 2:
			m.read(n * n / 4)
		case 3, 4, 5:
			m.step(int64(n * n))
		case 6:
			m.step(Quantum)
		case 7:
			m.refuse(n)
		}
		m.conserve()
	}
	m.finish()
}

// write gives the source what it takes of n bytes.
func (m *pumpModel) write(n int) {
	if m.feed < 0 {
		return
	}
	b := make([]byte, n)
	for i := range b {
		b[i] = byte((len(m.sent) + i) * 131 >> 3)
	}
	if k, err := unix.Write(m.feed, b); err == nil {
		m.sent = append(m.sent, b[:k]...)
	}
}

func (m *pumpModel) read(n int) int {
	b := make([]byte, n)
	k, err := unix.Read(m.tap, b)
	if err != nil {
		return 0
	}
	m.got = append(m.got, b[:k]...)
	return k
}

// step lets the pump go on as its driver would: poll first, if it asked for that.
func (m *pumpModel) step(n int64) {
	delivered, held := m.p.Bytes.Load(), m.p.Held()
	w, err := m.p.Step(n)
	if err != nil {
		m.t.Fatalf("step: %v", err)
	}
	if m.p.Bytes.Load() != delivered || m.p.Held() != held {
		m.vain = 0
	}
	switch w {
	case Ended:
		m.ended = true
	case WantSrc:
		if polled(m.p.src.fd, unix.POLLIN) {
			m.p.srcReady = true
			m.vain++
		}
	case WantDst:
		if polled(m.p.dst.fd, unix.POLLOUT) {
			m.p.dstReady = true
			m.vain++
		}
	}
	if m.vain > 4 {
		m.t.Fatalf("the pump spins: %v wanted, plan %v, %d held", w, m.choice.left(), m.p.Held())
	}
}

// refuse takes a path away, as the kernel might at any time.
func (m *pumpModel) refuse(n int) {
	switch {
	case len(m.choice.left()) == 1:
	case n%2 == 0:
		m.p.refused(m.choice.left()[0], unix.EINVAL, Source)
	case m.p.pipe != nil:
		m.p.hop2Refused = true
		m.p.refused(SplicePipe, unix.EINVAL, Destination)
	}
}

// conserve adds up the bytes.
func (m *pumpModel) conserve() {
	inSource, inSink := queued(m.t, m.p.src.fd), queued(m.t, m.tap)
	if sum := inSource + m.p.Held() + inSink + int64(len(m.got)); sum != int64(len(m.sent)) {
		m.t.Fatalf("%d in the source, %d held, %d in the sink, %d read: %d of %d", inSource, m.p.Held(), inSink, len(m.got), sum, len(m.sent))
	}
	if delivered := inSink + int64(len(m.got)); delivered != m.p.Bytes.Load() {
		m.t.Fatalf("%d delivered, %d counted", delivered, m.p.Bytes.Load())
	}
	if !bytes.HasPrefix(m.sent, m.got) {
		m.t.Fatalf("the %d bytes read are not the first of those sent", len(m.got))
	}
}

// finish ends the source; everything has to come out in a bounded number of steps.
func (m *pumpModel) finish() {
	unix.Close(m.feed)
	m.feed = -1
	for range 10000 {
		if m.ended {
			break
		}
		m.step(Quantum)
		m.read(1 << 16)
	}
	for m.read(1<<16) > 0 {
	}
	if !m.ended || len(m.got) != len(m.sent) || m.p.Held() != 0 {
		m.t.Fatalf("ended %v with %d of %d bytes read, %d held", m.ended, len(m.got), len(m.sent), m.p.Held())
	}
	m.conserve()
	if lost := m.p.Stop(); lost != 0 {
		m.t.Fatalf("%d bytes lost", lost)
	}
}

func queued(t testing.TB, fd int) int64 {
	n, err := unix.IoctlGetInt(fd, unix.TIOCINQ)
	if err != nil {
		t.Fatal(err)
	}
	return int64(n)
}

func polled(fd int, events int16) bool {
	fds := []unix.PollFd{{Fd: int32(fd), Events: events}}
	n, err := unix.Poll(fds, 0)
	return err == nil && n > 0
}

// FuzzPump plays any script of writes, reads, steps, limits and refusals.
func FuzzPump(f *testing.F) {
	for how := range byte(32) {
		f.Add([]byte{how, 0, 100, 3, 200, 2, 50, 7, 1, 6, 0})
	}
	f.Fuzz(func(t *testing.T, script []byte) {
		if len(script) == 0 || len(script) > 2000 {
			return
		}
		newPumpModel(t, script[0]).run(script[1:])
	})
}

// TestPumpModel plays some hundred long scripts. A seed that fails is in the name of its test.
func TestPumpModel(t *testing.T) {
	for seed := range uint64(160) {
		r := rand.New(rand.NewPCG(seed, 0))
		script := make([]byte, 400)
		for i := range script {
			script[i] = byte(r.Uint32())
		}
		script[0] = byte(seed)
		t.Run("", func(t *testing.T) { newPumpModel(t, script[0]).run(script[1:]) })
	}
}
