package faults

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/zcp-go/zcp/cmd/e2e/program"
)

// A cut is what happens to a resumed transfer, once, when so many bytes of the file have passed the proxy.
type cut struct {
	at   int64
	kind string
}

var cutKinds = []string{"reset", "reset", "end", "kill the sender", "kill the receiver", "stop the sender", "stop the receiver"}

// A cutter is a proxy between a sender and a receiver that breaks connections where it is told to, and
// holds what both ends say against what has passed.
type cutter struct {
	t       *testing.T
	ln      net.Listener
	dial    func() (net.Conn, error)
	sends   bool // the end that connects is the sender
	reached chan cut
	goOn    chan bool // whether the connection lives on

	gate sync.Mutex // held by the connection that passes bytes on, and during a cut: none overtakes it

	mu       sync.Mutex
	newest   net.Conn // to the receiver: an older connection may still hold bytes, and has no cuts
	cuts     []cut
	furthest int64            // of the file, that has passed
	atLeast  int64            // what the receiver had stored at the last cut
	asked    map[string]int64 // where the receiver was, by the key of its want
	senders  int              // that were killed
	orphaned bool             // the receiver got the whole file and its end from a sender that was dead by then
}

func (x *cutter) serve() {
	for {
		c, err := x.ln.Accept()
		if err != nil {
			return
		}
		go x.pass(c)
	}
}

// pass passes one connection on, both ways.
func (x *cutter) pass(c net.Conn) {
	d, err := x.dial()
	if err != nil {
		breakOff(c)
		return
	}
	from, to := c, d
	if !x.sends {
		from, to = d, c
	}
	x.mu.Lock()
	x.newest = to
	x.mu.Unlock()
	both := func() { breakOff(c); breakOff(d) }
	go x.back(from, to, both)
	x.forth(from, to, x.generation(), both)
}

// generation returns how many senders were killed so far.
func (x *cutter) generation() int {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.senders
}

// breakOff closes a connection so that its peer gets a reset, over a Unix socket an end.
func breakOff(c net.Conn) {
	if tc, ok := c.(*net.TCPConn); ok {
		_ = tc.SetLinger(0) // of a connection that may be gone
	}
	c.Close()
}

// closeWrite passes an end on.
func closeWrite(c net.Conn) {
	if w, ok := c.(interface{ CloseWrite() error }); ok {
		_ = w.CloseWrite() // the peer may have gone
	}
}

// back passes what the receiver says, and holds its want against what has passed.
func (x *cutter) back(from, to net.Conn, both func()) {
	r := bufio.NewReader(to)
	line, err := r.ReadString('\n')
	if err != nil {
		both()
		return
	}
	var there int64
	var key string
	if _, err := fmt.Sscanf(line, "zcp1 want from=%d key=%s\n", &there, &key); err != nil {
		x.t.Errorf("the receiver said %q", line)
	}
	x.mu.Lock()
	if there < x.atLeast || there > x.furthest {
		x.t.Errorf("the receiver wants from %d; it had stored %d, and %d have passed", there, x.atLeast, x.furthest)
	}
	x.asked[key] = there
	x.mu.Unlock()
	_, err = io.WriteString(from, line)
	if err == nil {
		_, err = io.Copy(from, r)
	}
	if err != nil {
		both()
		return
	}
	closeWrite(from)
}

// forth passes the file on, up to where the next cut is.
func (x *cutter) forth(from, to net.Conn, sender int, both func()) {
	r := bufio.NewReaderSize(from, 64<<10)
	line, err := r.ReadString('\n')
	if err != nil {
		both()
		return
	}
	var at, size int64
	var key string
	if _, err := fmt.Sscanf(line, "zcp1 at from=%d size=%d key=%s\n", &at, &size, &key); err != nil {
		x.t.Errorf("the sender said %.80q", line)
	}
	x.mu.Lock()
	if there, ok := x.asked[key]; !ok || at != there-min(there, 1<<20) {
		x.t.Errorf("the receiver has %d (%v), and the sender begins at %d", there, ok, at)
	}
	x.mu.Unlock()
	if _, err := io.WriteString(to, line); err != nil {
		both()
		return
	}
	b := make([]byte, 64<<10)
	for {
		x.gate.Lock()
		x.mu.Lock()
		n := int64(len(b))
		now := x.newest == to && len(x.cuts) > 0 && at >= x.cuts[0].at
		if now {
			next := x.cuts[0]
			x.cuts = x.cuts[1:]
			x.mu.Unlock()
			x.reached <- next
			live := <-x.goOn
			switch {
			case live:
				x.gate.Unlock()
				continue
			case next.kind == "end":
				breakOff(from)
				to.Close()
			default:
				both()
			}
			x.gate.Unlock()
			return
		}
		if len(x.cuts) > 0 {
			n = min(n, x.cuts[0].at-at)
		}
		x.mu.Unlock()
		x.gate.Unlock()
		m, err := r.Read(b[:n])
		x.gate.Lock()
		if m > 0 {
			x.mu.Lock()
			x.furthest = max(x.furthest, at+int64(m))
			x.mu.Unlock()
			at += int64(m)
			if _, werr := to.Write(b[:m]); werr != nil {
				err = werr
			}
		}
		switch {
		case err == io.EOF:
			x.mu.Lock()
			x.orphaned = x.orphaned || at == size && sender != x.senders
			x.mu.Unlock()
			closeWrite(to)
		case err != nil:
			both()
		}
		x.gate.Unlock()
		if err != nil {
			return
		}
	}
}

// A cutRun is one transfer with its cuts, as its seed has it.
type cutRun struct {
	t          *testing.T
	r          *rand.Rand
	x          *cutter
	send, recv []string
	s, d       *program.Process
	dst        string
}

// runCuts moves one file, with so many cuts.
func runCuts(t *testing.T, seed uint64, content []byte, cuts int) {
	r := rand.New(rand.NewPCG(seed, 0x18))
	src := filepath.Join(t.TempDir(), "src")
	program.WriteFile(t, src, content, 0o644)
	dir := t.TempDir()
	c := &cutRun{t: t, r: r, dst: filepath.Join(dir, "dst")}
	network, listen, front := "tcp", "127.0.0.1:"+strconv.Itoa(program.FreePort()), "127.0.0.1:0"
	if r.IntN(3) == 0 {
		network, listen, front = "unix", filepath.Join(dir, "s"), filepath.Join(dir, "front")
	}
	ln, err := net.Listen(network, front)
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	c.x = &cutter{t: t, ln: ln, sends: r.IntN(2) == 0, reached: make(chan cut), goOn: make(chan bool), asked: map[string]int64{},
		dial: func() (net.Conn, error) { return net.Dial(network, listen) }}
	for range cuts {
		c.x.cuts = append(c.x.cuts, cut{r.Int64N(int64(len(content))), cutKinds[r.IntN(len(cutKinds))]})
	}
	slices.SortFunc(c.x.cuts, func(a, b cut) int { return cmp.Compare(a.at, b.at) })
	to, at := ln.Addr().String(), listen
	if network == "unix" {
		to, at = "unix:"+to, "unix:"+at
	}
	flags := []string{"--resume", "--retry-for", "60", "--idle", "1"}
	if network == "unix" || r.IntN(3) == 0 { // an end there may be a death: the receipt tells them apart
		flags = append(flags, "--verify", "--hash", "blake3")
	}
	if c.x.sends {
		c.send, c.recv = append([]string{"send", src, to}, flags...), append([]string{"recv", "-l", at, c.dst}, flags...)
	} else {
		c.send, c.recv = append([]string{"send", "-l", src, at}, flags...), append([]string{"recv", to, c.dst}, flags...)
	}
	go c.x.serve()
	c.run(seed, content, cuts)
}

func (c *cutRun) run(seed uint64, content []byte, cuts int) {
	t := c.t
	c.d = program.Zcp(t, c.recv...).Start()
	c.s = program.Zcp(t, c.send...).Start()
	for range cuts {
		select {
		case next := <-c.x.reached:
			c.cut(next)
		case <-time.After(program.GuardTime):
			t.Fatalf("seed %d: the next cut was not reached\n%s\n%s", seed, c.s.ErrOut, c.d.ErrOut)
		}
	}
	if c.d.Ends(0); t.Failed() {
		t.Logf("seed %d, the sender:\n%s", seed, c.s.ErrOut)
	}
	c.x.mu.Lock()
	orphaned := c.x.orphaned
	c.x.mu.Unlock()
	if orphaned { // the sender that was started again waits for a receiver that has everything
		c.s.Kill(unix.SIGKILL)
		c.s.End()
	} else {
		c.s.Ends(0)
	}
	program.Holds(t, c.dst, content)
	program.Absent(t, c.dst+".part")
}

// cut does what a cut is, and lets the proxy go on.
func (c *cutRun) cut(next cut) {
	if fi, err := os.Stat(c.dst + ".part"); err == nil {
		c.x.mu.Lock()
		c.x.atLeast = fi.Size()
		c.x.mu.Unlock()
	}
	again := func(p *program.Process, args []string) *program.Process {
		if c.d.HasEnded() { // the cut was that of a connection which the receiver had left for its last one
			c.x.goOn <- false
			return p
		}
		p.Kill(unix.SIGKILL)
		p.End()
		if p == c.s {
			c.x.mu.Lock()
			c.x.senders++
			c.x.mu.Unlock()
		}
		c.x.goOn <- false
		return program.Zcp(c.t, args...).Start()
	}
	stop := func(p *program.Process) {
		p.Signal(unix.SIGSTOP)
		c.x.goOn <- true
		time.Sleep(time.Duration(c.r.Int64N(int64(1500 * time.Millisecond)))) // how long it is stopped; silence is 1 s
		p.Signal(unix.SIGCONT)
	}
	switch next.kind {
	case "kill the sender":
		c.s = again(c.s, c.send)
	case "kill the receiver":
		c.d = again(c.d, c.recv)
	case "stop the sender":
		stop(c.s)
	case "stop the receiver":
		stop(c.d)
	default:
		c.x.goOn <- false
	}
}

// TestResumeCuts cuts transfers at random places: resets, ends, kill -9 and SIGSTOP of either side, in both
// roles, over TCP and Unix sockets, in files of 1 byte to 300 MiB, of which one is zeros. ZCP_CUTS is
// how many (12, two a file, or 20 where all are wanted, [program.All]), ZCP_SEED0 the first seed. The file
// is identical at the end, nothing that was stored at a cut is asked for again, and no more than 1 MiB of it is
// sent again.
func TestResumeCuts(t *testing.T) {
	t.Parallel() // stopped processes wait
	left, most := 12, 2
	if program.All() || os.Getenv("ZCP_CUTS") != "" {
		left, most = 20, 6
	}
	if text := os.Getenv("ZCP_CUTS"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil {
			t.Fatal(err)
		}
		left = n
	}
	largest := 8 << 20
	if left >= 100 {
		largest = 300 << 20
	}
	noise, zeros := program.Noise(largest, 18), make([]byte, largest/3)
	for seed := seeds(t, 1, 1)[0]; left > 0; seed++ {
		r := rand.New(rand.NewPCG(seed, 0x500))
		content := noise[:1+logUniform(r, largest-1)]
		switch seed % 16 {
		case 1:
			content = noise[:1]
		case 2:
			content = zeros
		case 3:
			content = noise
		}
		cuts := min(left, most, 1+r.IntN(6))
		left -= cuts
		if !t.Run(fmt.Sprintf("seed %d, %d bytes, %d cuts", seed, len(content), cuts), func(t *testing.T) { runCuts(t, seed, content, cuts) }) {
			return
		}
	}
}
