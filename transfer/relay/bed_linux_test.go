package relay_test

import (
	"context"
	"errors"
	"io"
	"net"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/zcp-go/zcp/transfer"
	"github.com/zcp-go/zcp/transfer/internal/bed"
	"github.com/zcp-go/zcp/transfer/relay"
)

// A relayBed is a relay between clients and a target that are the test's own.
type relayBed struct {
	*relay.Relay
	network, addr string       // where it listens
	target        net.Listener // closed with the test
	end           context.CancelCauseFunc
	served        chan error        // what Serve returned
	hook          func(relay.Event) // called by the loop as OnEvent is; may be nil

	mu     sync.Mutex
	events []relay.Event
}

var errOver = errors.New("the test is over")

// newRelay starts a relay that listens on one network and connects to a target on another.
func newRelay(t testing.TB, from, to string, options ...func(*relay.Relay)) *relayBed {
	t.Helper()
	b := &relayBed{network: from, target: listenOn(t, to), Relay: &relay.Relay{Network: to}}
	b.Address = b.target.Addr().String()
	b.serve(t, options...)
	return b
}

func listenOn(t testing.TB, network string) net.Listener {
	t.Helper()
	ln := bed.Must(net.Listen(network, freshAddr(t, network)))(t)
	t.Cleanup(func() { ln.Close() })
	return ln
}

func freshAddr(t testing.TB, network string) string {
	if network == "unix" {
		return filepath.Join(t.TempDir(), "s")
	}
	return "127.0.0.1:0"
}

// serve runs b's Relay until the test ends.
func (b *relayBed) serve(t testing.TB, options ...func(*relay.Relay)) {
	t.Helper()
	ln := bed.Must(transfer.Listen(context.Background(), b.network, freshAddr(t, b.network)))(t)
	b.addr = ln.Addr().String()
	b.serveOn(t, ln, options...)
}

func (b *relayBed) serveOn(t testing.TB, ln *transfer.Listener, options ...func(*relay.Relay)) {
	for _, o := range options {
		o(b.Relay)
	}
	b.OnEvent = b.note
	ctx, cancel := context.WithCancelCause(context.Background())
	b.end, b.served = cancel, make(chan error, 1)
	lns := []*transfer.Listener{ln}
	if front {
		accepts(b.Relay)
		for range 2 { // before and behind the one that is used
			extra := bed.Must(transfer.Listen(context.Background(), "tcp", "127.0.0.1:0"))(t)
			lns = append([]*transfer.Listener{extra}, lns...)
		}
		lns[1], lns[2] = lns[2], lns[1]
	}
	go func() { b.served <- b.Serve(ctx, lns...) }()
	t.Cleanup(func() {
		cancel(errOver)
		select {
		case <-b.served:
		case <-time.After(bed.Patience):
			t.Error("the relay does not end")
		}
	})
}

func (b *relayBed) note(e relay.Event) {
	b.mu.Lock()
	b.events = append(b.events, e)
	b.mu.Unlock()
	if b.hook != nil {
		b.hook(e)
	}
}

// told returns the events of a kind so far.
func (b *relayBed) told(kind relay.EventKind) (some []relay.Event) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, e := range b.events {
		if e.Kind == kind {
			some = append(some, e)
		}
	}
	return some
}

// tells waits for the nth event of a kind, counting from 1, and returns it.
func (b *relayBed) tells(t testing.TB, kind relay.EventKind, nth int) relay.Event {
	t.Helper()
	bed.Until(t, "the relay to tell", func() bool { return len(b.told(kind)) >= nth })
	if some := b.told(kind); len(some) >= nth {
		return some[nth-1]
	}
	return relay.Event{}
}

// A side is one end of a connection through the relay, in the test's hands.
type side struct {
	net.Conn
	t testing.TB
}

// connect makes a connection through the relay and returns both its far ends.
func (b *relayBed) connect(t testing.TB) (client, target side) {
	t.Helper()
	client = b.dial(t)
	return client, b.accept(t)
}

func (b *relayBed) dial(t testing.TB) side {
	t.Helper()
	c := bed.Must(net.Dial(b.network, b.addr))(t)
	b.greets(t, c)
	return newSide(t, c)
}

// isRefused connects and expects a reset, which may come before connect returns.
func (b *relayBed) isRefused(t testing.TB) {
	t.Helper()
	c, err := net.Dial(b.network, b.addr)
	if err == nil {
		b.greets(t, c)
		newSide(t, c).breaks()
	} else if !errors.Is(err, unix.ECONNRESET) {
		t.Error(err)
	}
}

func (b *relayBed) accept(t testing.TB) side {
	t.Helper()
	if d, ok := b.target.(interface{ SetDeadline(time.Time) error }); ok {
		bed.MustDo(t, d.SetDeadline(time.Now().Add(bed.Patience)))
	}
	return newSide(t, bed.Must(b.target.Accept())(t))
}

func newSide(t testing.TB, c net.Conn) side {
	bed.MustDo(t, c.SetDeadline(time.Now().Add(bed.Patience)))
	t.Cleanup(func() { c.Close() })
	return side{c, t}
}

func (s side) closeWrite() {
	s.t.Helper()
	bed.MustDo(s.t, s.Conn.(interface{ CloseWrite() error }).CloseWrite())
}

func (s side) write(b []byte) {
	s.t.Helper()
	bed.Must(s.Conn.Write(b))(s.t)
}

// reads expects exactly these bytes next.
func (s side) reads(want []byte) {
	s.t.Helper()
	got := make([]byte, len(want))
	n, err := io.ReadFull(s.Conn, got)
	if err != nil || string(got) != string(want) {
		s.t.Errorf("read %d bytes, %v: not the %d bytes that were sent", n, err, len(want))
	}
}

// readsEnd expects these bytes and then the end of the stream.
func (s side) readsEnd(want []byte) {
	s.t.Helper()
	got, err := io.ReadAll(s.Conn)
	if err != nil || string(got) != string(want) {
		s.t.Errorf("read %d bytes, %v: not the %d bytes that were sent and then the end", len(got), err, len(want))
	}
}

// breaks expects that the connection is broken off: a reset of TCP, the end of a Unix
// socket, which knows no reset. What still comes before it is passed over.
func (s side) breaks() {
	s.t.Helper()
	bed.MustDo(s.t, s.SetReadDeadline(time.Now().Add(bed.Patience)))
	_, err := io.Copy(io.Discard, s.Conn)
	if _, tcp := s.Conn.(*net.TCPConn); tcp && !errors.Is(err, unix.ECONNRESET) {
		s.t.Errorf("ended with %v, not with a reset", err)
	} else if errors.Is(err, context.DeadlineExceeded) || isTimeout(err) {
		s.t.Error("was not broken off")
	}
}

// writeBreaks expects that writing fails because the connection was broken off.
func (s side) writeBreaks() {
	s.t.Helper()
	bed.MustDo(s.t, s.SetWriteDeadline(time.Now().Add(bed.Patience)))
	for {
		if _, err := s.Conn.Write([]byte("x")); errors.Is(err, unix.EPIPE) || errors.Is(err, unix.ECONNRESET) {
			return
		} else if err != nil {
			s.t.Errorf("writing ended with %v, not with a reset", err)
			return
		}
	}
}

func isTimeout(err error) bool {
	var n net.Error
	return errors.As(err, &n) && n.Timeout()
}

// reset closes s so that the peer of a TCP connection sees a reset.
func (s side) reset() {
	if c, ok := s.Conn.(*net.TCPConn); ok {
		bed.MustDo(s.t, c.SetLinger(0))
	}
	s.Close()
}

// fill writes until the far end takes no more: every buffer on the way to the far end is full.
func (s side) fill(quiet time.Duration) (n int) {
	s.t.Helper()
	b := bed.Noise(256<<10, 3)
	for {
		bed.MustDo(s.t, s.SetWriteDeadline(time.Now().Add(quiet)))
		m, err := s.Conn.Write(b)
		n += m
		if isTimeout(err) {
			bed.MustDo(s.t, s.SetWriteDeadline(time.Now().Add(bed.Patience)))
			return n
		}
		bed.MustDo(s.t, err)
	}
}

var networks = []string{"tcp", "unix"}

// forNetworks runs f for pairs of networks and pollers; see tried.
func forNetworks(t *testing.T, f func(t *testing.T, from, to string, poller func(*relay.Relay))) {
	for name, poller := range relay.Pollers {
		for _, from := range networks {
			for _, to := range networks {
				if tried(name, from, to) {
					t.Run(name+" "+from+" to "+to, func(t *testing.T) { f(t, from, to, poller) })
				}
			}
		}
	}
}

// tried tells whether a pair of networks is tried with a poller. It is half of the eight, in which each
// network meets each poller and each network; the other half is for the run behind a header. [bed.All] has all in both.
func tried(poller, from, to string) bool {
	odd := (poller == "poll") != (from == "unix") != (to == "unix")
	return odd == front || bed.All()
}

// pending returns how many bytes an end could read now.
func pending(t testing.TB, s side) (n int) {
	t.Helper()
	control(t, s, func(fd int) (err error) {
		n, err = unix.IoctlGetInt(fd, unix.TIOCINQ)
		return err
	})
	return n
}

func control(t testing.TB, s side, f func(fd int) error) {
	t.Helper()
	rc := bed.Must(s.Conn.(syscall.Conn).SyscallConn())(t)
	bed.MustDo(t, rc.Control(func(fd uintptr) { bed.MustDo(t, f(int(fd))) }))
}
