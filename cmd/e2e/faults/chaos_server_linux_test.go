package faults

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/zcp-go/zcp/cmd/e2e/program"
)

// A server is one zcp with -k that meets the peers of all seeds, many at once.
type server struct {
	t    *testing.T
	p    *program.Process
	addr string
	open []string // its descriptors before the first peer
}

func newServer(t *testing.T, args ...string) *server {
	s := &server{t: t, p: program.Zcp(t, append(args, "-k", "--json")...).Start()}
	s.addr = "127.0.0.1:" + s.p.Says(`"port":(\d+)`)[1]
	program.Asleep(t, s.p.Process.Pid)
	s.open = descriptors(t, s.p.Process.Pid)
	return s
}

// descriptors lists what a process has open.
func descriptors(t testing.TB, pid int) (list []string) {
	t.Helper()
	dir := fmt.Sprintf("/proc/%d/fd", pid)
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		to, _ := os.Readlink(filepath.Join(dir, e.Name())) // it may be closed by now
		if i := strings.IndexByte(to, ':'); i > 0 {
			to = to[:i] // socket, pipe: the number behind it is of no interest
		}
		list = append(list, to)
	}
	return list
}

// A closing is the event that ends a connection.
type closing struct {
	Event, Peer, Reason string
	UpBytes             int64 `json:"up_bytes"`
	DownBytes           int64 `json:"down_bytes"`
}

// closings waits for the end of n connections and returns them by peer.
func (s *server) closings(n int) map[string]closing {
	s.t.Helper()
	byPeer := make(map[string]closing)
	program.WaitFor(s.t, fmt.Sprintf("%d closed connections", n), func() bool {
		return strings.Count(s.p.ErrOut.String(), `"event":"close"`) == n
	})
	for line := range strings.Lines(s.p.ErrOut.String()) {
		var c closing
		if err := json.Unmarshal([]byte(line), &c); err != nil {
			s.t.Errorf("%v: %q", err, line)
		}
		if c.Event == "close" {
			byPeer[c.Peer] = c
		}
	}
	return byPeer
}

// leftNothing wants the server to hold what it held at the start, apart from the pipes of
// two crowds, which may wait in its pool for the next, and to sleep. Where the number of seeds was
// asked for there is time to wait until the pool has closed them, too.
func (s *server) leftNothing() {
	s.t.Helper()
	pooled := 4 * crowd
	if os.Getenv("ZCP_SEEDS") != "" {
		pooled = 0
	}
	program.WaitFor(s.t, "the server's descriptors", func() bool {
		return count(descriptors(s.t, s.p.Process.Pid), "pipe") <= count(s.open, "pipe")+pooled &&
			count(descriptors(s.t, s.p.Process.Pid), "") == count(s.open, "")
	})
	program.Stalled(s.t, s.p.Process.Pid)
	left := descriptors(s.t, s.p.Process.Pid)
	s.t.Logf("%d descriptors before the first peer, %d after the last, %d of them pipes of the pool", len(s.open), len(left), count(left, "pipe")-count(s.open, "pipe"))
	s.p.Signal(unix.SIGTERM)
	s.p.Ends(143)
}

// count counts the entries that are of a kind, or with "" those that are no pipes.
func count(list []string, kind string) (n int) {
	for _, e := range list {
		if e == kind || kind == "" && e != "pipe" {
			n++
		}
	}
	return n
}

// play lets every seed's peer meet the server and returns them by their address.
func (s *server) play(list []uint64, born func(seed uint64) *chaos, part func(*chaos, stage, *net.TCPConn)) map[string]*chaos {
	var mu sync.Mutex
	peers := map[string]*chaos{}
	inCrowds(list, func(seed uint64) {
		x := born(seed)
		c, err := dialChaos(x, s.addr)
		if err != nil {
			s.t.Errorf("%v: %v", x, err)
			return
		}
		_ = c.SetDeadline(time.Now().Add(program.GuardTime)) // fails only on a closed connection
		mu.Lock()
		peers[c.LocalAddr().String()] = x
		mu.Unlock()
		on := stage{urgent: func(c *net.TCPConn) { _ = sendUrgent(c, '!') }, stall: func() { time.Sleep(20 * time.Millisecond) }}
		part(x, on, c.(*net.TCPConn))
		c.Close()
	})
	return peers
}

// statusOf is the status that one connection of a server would have ended a process with.
func statusOf(reason string) int {
	switch {
	case reason == "done":
		return 0
	case strings.Contains(reason, "reset by peer"), strings.Contains(reason, "nothing arrived"), strings.Contains(reason, "short of --size"):
		return 3
	}
	return 1
}

// One server and many chaotic receivers at once: each is served as if it were alone, and
// nothing is left of any of them.
func TestChaosServerSend(t *testing.T) {
	content := program.Noise(chaosSize/4, 22)
	name := filepath.Join(t.TempDir(), "in")
	program.WriteFile(t, name, content, 0o644)
	s := newServer(t, "send", name, ":0", "--linger", "0.5")
	peers := s.play(seeds(t, 50, 200), func(seed uint64) *chaos {
		x := newChaos(seed, content)
		x.content = content
		x.chunk = max(x.chunk, len(content)/100)
		x.pause = 0
		return x
	}, func(x *chaos, on stage, c *net.TCPConn) {
		x.receive(c, on)
		if x.end == stays {
			_, _ = c.Read([]byte{0}) // until zcp has enough of it
		}
	})
	closed := s.closings(len(peers))
	var seen tally
	for addr, x := range peers {
		c, ok := closed[addr]
		if !ok {
			t.Errorf("%v: its connection was never closed", x)
			continue
		}
		seen.ended(statusOf(c.Reason))
		x.judgeSend(t, statusOf(c.Reason), c.Reason)
	}
	t.Logf("%d peers, by what they ended with %v", seen.peers, seen.statuses)
	s.leftNothing()
}

// One server and many chaotic senders at once.
func TestChaosServerRecv(t *testing.T) {
	all := program.Noise(chaosSize/4, 23)
	dir := t.TempDir()
	s := newServer(t, "recv", ":0", filepath.Join(dir, "in-%d"))
	peers := s.play(seeds(t, 100, 200), func(seed uint64) *chaos { return newChaos(seed, all) },
		func(x *chaos, on stage, c *net.TCPConn) { x.send(c, on) })
	closed := s.closings(len(peers))
	var seen tally
	files := map[int][]byte{} // complete ones, by size
	for _, name := range program.ListDir(t, dir) {
		got, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.HasPrefix(all, got) {
			t.Errorf("%s holds %d bytes that were never sent", name, len(got))
		}
		if !strings.HasSuffix(name, ".part") {
			files[len(got)] = got
		}
	}
	for addr, x := range peers {
		c, ok := closed[addr]
		if !ok {
			t.Errorf("%v: its connection was never closed", x)
			continue
		}
		status, got := statusOf(c.Reason), x.content
		seen.ended(status)
		if status == 0 && files[len(x.content)] == nil {
			got = nil
		}
		x.judgeRecv(t, status, c.Reason, got, 0)
	}
	t.Logf("%d peers, by what they ended with %v", seen.peers, seen.statuses)
	s.leftNothing()
}
