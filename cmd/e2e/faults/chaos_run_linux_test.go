package faults

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/zcp-go/zcp/cmd/e2e/program"
)

// chaosSize is the most bytes that a seed moves.
const chaosSize = 4 << 20

// seeds returns the seeds to be tried: ZCP_SEED alone, or ZCP_SEEDS of them from ZCP_SEED0 on, or all where all are
// wanted ([program.All]). The race detector, which sees more in each of them, gets half of the usual ones.
func seeds(t *testing.T, usual, all uint64) (list []uint64) {
	t.Helper()
	number := func(name string, n uint64) uint64 {
		if text := os.Getenv(name); text != "" {
			var err error
			if n, err = strconv.ParseUint(text, 10, 64); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
		}
		return n
	}
	if os.Getenv("ZCP_SEED") != "" {
		return []uint64{number("ZCP_SEED", 0)}
	}
	switch {
	case program.All():
		usual = all
	case program.Racing && usual > 4:
		usual /= 2
	}
	for seed := range number("ZCP_SEEDS", usual) {
		list = append(list, number("ZCP_SEED0", 0)+seed)
	}
	return list
}

// crowd is how many seeds are played at once.
const crowd = 6

// inCrowds plays seeds, several at once.
func inCrowds(list []uint64, play func(seed uint64)) {
	var wg sync.WaitGroup
	next := make(chan uint64)
	for range crowd {
		wg.Go(func() {
			for seed := range next {
				play(seed)
			}
		})
	}
	for _, seed := range list {
		next <- seed
	}
	close(next)
	wg.Wait()
}

// A tally says what a test of chaos has seen.
type tally struct {
	mu       sync.Mutex
	peers    int
	statuses map[int]int
	stalls   int
	costly   time.Duration // the most processor time that one of them used
}

func (y *tally) ended(status int) {
	y.mu.Lock()
	defer y.mu.Unlock()
	if y.statuses == nil {
		y.statuses = map[int]int{}
	}
	y.peers++
	y.statuses[status]++
}

func (y *tally) stalled(used time.Duration) {
	y.mu.Lock()
	defer y.mu.Unlock()
	y.stalls++
	y.costly = max(y.costly, used)
}

func (y *tally) String() string {
	return fmt.Sprintf("%d peers, by exit status %v; %d stalls of 200 ms, which used %v of processor time at most", y.peers, y.statuses, y.stalls, y.costly)
}

// stageOf is the stage of a peer whose zcp has the process id.
func stageOf(t *testing.T, x *chaos, pid int, seen *tally) stage {
	return stage{
		urgent: func(c *net.TCPConn) { _ = sendUrgent(c, '!') }, // of what may be broken already
		stall: func() {
			time.Sleep(10 * time.Millisecond) // for what is on its way
			before := program.ProcessorTime(pid)
			time.Sleep(200 * time.Millisecond) // the stall
			used := program.ProcessorTime(pid) - before
			if seen.stalled(used); used > program.SpinLimit {
				t.Errorf("%v: %v of processor time in a stall of 200 ms", x, used)
			}
		},
	}
}

// listenChaos opens the peer's listener, with the buffers that the peer wants.
func listenChaos(x *chaos) (net.Listener, error) {
	lc := net.ListenConfig{Control: func(_, _ string, rc syscall.RawConn) error {
		return rc.Control(func(fd uintptr) { x.setBuffers(int(fd)) })
	}}
	return lc.Listen(context.Background(), "tcp", "127.0.0.1:0")
}

func dialChaos(x *chaos, addr string) (net.Conn, error) {
	from := net.IPv4(127, 1, byte(x.seed>>8), byte(x.seed)) // tells the peers of all seeds apart, as ports do not
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: from}, Control: func(_, _ string, rc syscall.RawConn) error {
		return rc.Control(func(fd uintptr) { x.setBuffers(int(fd)) })
	}}
	return d.Dial("tcp", addr)
}

func (x *chaos) setBuffers(fd int) {
	if x.buffer > 0 {
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, x.buffer) // what is refused is as good as not asked for
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUF, x.buffer)
	}
}

// TestChaosSend plays receivers of chaos to a sender.
func TestChaosSend(t *testing.T) {
	all := program.Noise(chaosSize, 20)
	var seen tally
	inCrowds(seeds(t, 40, 200), func(seed uint64) {
		x := newChaos(seed, all)
		m := program.Modes[x.r.IntN(len(program.Modes))]
		args := []string{"send", "--linger", "1m"}
		if x.end == stays {
			args[2] = "0.1"
		}
		var in *os.File
		if x.r.IntN(2) == 0 {
			r, w, err := os.Pipe()
			if err != nil {
				t.Error(err)
				return
			}
			go func() { _, _ = w.Write(x.content); w.Close() }() // zcp may end before
			in, args = r, append(args, "-")
		} else {
			name := filepath.Join(t.TempDir(), "in")
			program.WriteFile(t, name, x.content, 0o644)
			args = append(args, name)
		}
		p, c := chaosMeets(t, x, m, in, args)
		if c == nil {
			return
		}
		x.receive(c, stageOf(t, x, p.Process.Pid, &seen))
		seen.ended(p.End())
		c.Close()
		if in != nil {
			in.Close()
		}
		x.judgeSend(t, p.Status, p.ErrOut.String())
	})
	t.Log(&seen)
}

// chaosMeets starts zcp and connects it with the peer, one way round or the other.
func chaosMeets(t *testing.T, x *chaos, m program.Mode, in *os.File, args []string) (*program.Process, *net.TCPConn) {
	var p *program.Process
	var c net.Conn
	var err error
	net_ := len(args) // where the network end belongs
	if args[0] == "recv" {
		net_ = 1
	}
	with := func(end string) *program.Process {
		all := append(append(append([]string{}, args[:net_]...), end), args[net_:]...)
		p := m.Zcp(t, all...)
		if in != nil {
			p.Stdin = in
		}
		return p.Start()
	}
	if x.r.IntN(2) == 0 {
		p = with(":0")
		c, err = dialChaos(x, "127.0.0.1:"+p.Port())
	} else {
		var ln net.Listener
		if ln, err = listenChaos(x); err == nil {
			p = with(ln.Addr().String())
			c, err = ln.Accept()
			ln.Close()
		}
	}
	if err == nil {
		err = c.SetDeadline(time.Now().Add(program.GuardTime))
	}
	if err != nil {
		t.Errorf("%v: %v", x, err)
		return p, nil
	}
	return p, c.(*net.TCPConn)
}

// judgeSend holds what a receiver saw against what send claims.
func (x *chaos) judgeSend(t *testing.T, status int, said string) {
	whole := bytes.Equal(x.got, x.content)
	early := x.half == -2
	fail := func(format string, args ...any) {
		t.Errorf("%v\n%s; it read %d, end %v, %v; send ended with %d: %s", x, fmt.Sprintf(format, args...), len(x.got), x.eof, x.err, status, said)
	}
	if !bytes.HasPrefix(x.content, x.got) {
		fail("what arrived is not a beginning of what was sent")
	}
	switch {
	case status == 0 && !whole && !early:
		fail("status 0 without all bytes")
	case status == 0 && x.end == resetAtEnd && !early:
		fail("status 0 after a reset")
	case status != 0 && x.eof && (x.end == inOrder || x.end == stays):
		fail("no status 0 although everything went well")
	case status != 0 && status != 3:
		fail("another status")
	case x.eof && !whole:
		fail("an end in order in the middle")
	}
}

// TestChaosRecv plays senders of chaos to a receiver.
func TestChaosRecv(t *testing.T) {
	all := program.Noise(chaosSize, 21)
	var seen tally
	inCrowds(seeds(t, 40, 200), func(seed uint64) {
		x := newChaos(seed, all)
		m := program.Modes[x.r.IntN(len(program.Modes))]
		args := []string{"recv"}
		dst := ""
		if x.r.IntN(3) > 0 {
			dst = filepath.Join(t.TempDir(), "out")
			args = append(args, dst)
		}
		promised := len(x.content) + x.r.IntN(2)
		if x.r.IntN(4) == 0 {
			args = append(args, "-s", strconv.Itoa(promised))
		} else {
			promised = 0
		}
		p, c := chaosMeets(t, x, m, nil, args)
		if c == nil {
			return
		}
		x.send(c, stageOf(t, x, p.Process.Pid, &seen))
		seen.ended(p.End())
		got := []byte(p.Out.String())
		if dst != "" {
			got = x.stored(t, dst, p.Status)
		}
		x.judgeRecv(t, p.Status, p.ErrOut.String(), got, promised)
	})
	t.Log(&seen)
}

// stored reads what a recv has left, under the one name or the other.
func (x *chaos) stored(t *testing.T, dst string, status int) []byte {
	name, other := dst, dst+".part"
	if status != 0 {
		name, other = other, name
	}
	if _, err := os.Lstat(other); err == nil {
		t.Errorf("%v: status %d, and %s is there", x, status, other)
	}
	got, err := os.ReadFile(name)
	if err != nil && status == 0 {
		t.Errorf("%v: %v", x, err)
	}
	return got
}

// judgeRecv holds what recv stored and claims against what the peer has sent, which is x.content.
func (x *chaos) judgeRecv(t *testing.T, status int, said string, got []byte, promised int) {
	fail := func(format string, args ...any) {
		t.Errorf("%v\n%s; stored %d; the sender saw end %v, %v; recv ended with %d: %s", x, fmt.Sprintf(format, args...), len(got), x.eof, x.err, status, said)
	}
	broken := x.end == resetAt || x.end == resetAtEnd
	short := promised > len(x.content)
	if !bytes.HasPrefix(x.content, got) {
		fail("what is stored is not a beginning of what was sent")
	}
	switch {
	case status == 0 && len(got) != len(x.content):
		fail("status 0 without all bytes")
	case status == 0 && broken:
		fail("status 0 after a reset")
	case status == 0 && short:
		fail("status 0 with fewer bytes than promised")
	case status == 0 && !x.eof:
		fail("status 0, and the sender was not told so")
	case status != 0 && x.eof:
		fail("the sender was told that all is well")
	case status != 0 && !broken && !short:
		fail("no status 0 although everything went well")
	case status != 0 && status != 3:
		fail("another status")
	}
}
