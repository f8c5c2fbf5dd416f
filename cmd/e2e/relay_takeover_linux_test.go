package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/zcp-go/zcp/cmd/e2e/program"
)

// A traffic is clients that ask a relay without a pause, so many at once.
type traffic struct {
	stop  chan struct{}
	group sync.WaitGroup
	done  atomic.Int64
	mu    sync.Mutex
	wrong []error
}

func startTraffic(network, addr string, clients int, every time.Duration) *traffic {
	f := &traffic{stop: make(chan struct{})}
	for range clients {
		f.group.Go(func() {
			tick := time.NewTicker(every)
			defer tick.Stop()
			for {
				select {
				case <-f.stop:
					return
				case <-tick.C:
				}
				if err := askOnce(network, addr); err != nil {
					f.mu.Lock()
					f.wrong = append(f.wrong, err)
					f.mu.Unlock()
				}
				f.done.Add(1)
			}
		})
	}
	return f
}

// askOnce is one client: what it says comes back in upper case when it has ended.
func askOnce(network, addr string) error {
	c, err := net.Dial(network, addr)
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(program.GuardTime)); err != nil {
		return err
	}
	if _, err := c.Write([]byte("hello")); err != nil {
		return err
	}
	if err := c.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
		return err
	}
	b, err := io.ReadAll(c)
	if err == nil && string(b) != "HELLO" {
		err = fmt.Errorf("unanswered: got %q", b)
	}
	return err
}

// ended stops the clients and wants none of them to have been refused, broken or unanswered.
func (f *traffic) ended(t *testing.T) {
	t.Helper()
	close(f.stop)
	f.group.Wait()
	for _, err := range f.wrong {
		t.Error(err)
	}
	t.Logf("%d connections", f.done.Load())
}

// TestTakeover: 20 relays take over from each other while clients come, and none of these notices. A long connection
// lives on in the first one until it ends.
func TestTakeover(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	port := program.FreePort()
	addr := fmt.Sprintf("127.0.0.1:%d", port)
	args := []string{"relay", "-v", "--takeover", "unix:" + dir + "/next", "--stats", "unix:" + dir + "/stats",
		addr, program.Target(t, "tcp", late), "unix:" + dir + "/s", program.Target(t, "unix", late)}
	first := program.Zcp(t, args...).Start()
	program.WaitFor(t, "it to serve", func() bool {
		c, err := net.Dial("unix", dir+"/stats")
		if err == nil {
			c.Close()
		}
		return err == nil && page1(t, dir+"/stats", "/readyz") == "accepting\n"
	})
	if info, err := os.Stat(dir + "/next"); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the socket is %v, %v", info, err)
	}
	long := program.Dial(t, first)
	program.Write(t, long, []byte("long"))
	first.Says("#1 ")
	tcp, local := startTraffic("tcp", addr, 4, 25*time.Millisecond), startTraffic("unix", dir+"/s", 2, 50*time.Millisecond) // 200 a second
	old := first
	for range 20 {
		before := tcp.done.Load()
		next := program.Zcp(t, args...).Start()
		old.Says(fmt.Sprintf("process %d has taken over\n", next.Process.Pid))
		old.Says("no longer accepting|nothing was open")
		if old != first {
			old.Ends(0)
		}
		program.WaitFor(t, "clients to be served", func() bool { return tcp.done.Load() > before+20 })
		old = next
	}
	tcp.ended(t)
	local.ended(t)
	if first.HasEnded() {
		t.Error("the first one did not wait for its long connection")
	}
	if err := long.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(long); string(b) != "LONG" || err != nil {
		t.Errorf("the long connection got %q, %v", b, err)
	}
	first.Ends(0)
	if err := askOnce("tcp", addr); err != nil {
		t.Error(err)
	}
	if n := seriesOf(t, page1(t, dir+"/stats", "/metrics"))["zcp_relay_accepted_total"]; n == 0 {
		t.Error("the figures are not those of the last relay")
	}
	old.Signal(unix.SIGTERM)
	old.Ends(0)
	for _, name := range []string{"next", "stats", "s"} {
		program.Absent(t, filepath.Join(dir, name))
	}
}

// TestTakeoverFails: a relay that cannot serve leaves the old one serving; so does one that dies on the way, and one
// of another version is told why.
func TestTakeoverFails(t *testing.T) {
	dir := t.TempDir()
	target := program.Target(t, "tcp", late)
	next := "unix:" + dir + "/next"
	p := program.Zcp(t, "relay", "-v", "--takeover", next, "127.0.0.1:0", target).Start()
	addr := "127.0.0.1:" + p.Port()
	program.WaitFor(t, "it to serve", func() bool { return askOnce("tcp", addr) == nil })
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	program.Zcp(t, "relay", "--takeover", next, addr, target, busy.Addr().String(), target).Run(1).Says("address already in use")
	p.Says("a take-over failed, going on")
	c, err := net.Dial("unix", dir+"/next")
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintln(c, `{"Versions":[7,8],"Later":true}`)
	if b := make([]byte, 200); true {
		n, err := c.Read(b)
		if s := string(b[:n]); err != nil || !errorOf(s) {
			t.Errorf("another version was told %q, %v", s, err)
		}
	}
	c.Close()
	if err := askOnce("tcp", addr); err != nil {
		t.Errorf("after three failures: %v", err)
	}
	program.Zcp(t, "relay", "--takeover", "unix:"+program.Source(t, "x"), addr, target).Run(1).Says("not a socket")
	p.Signal(unix.SIGKILL)
	p.End()
	q := program.Zcp(t, "relay", "-v", "--takeover", next, addr, target).Start() // a dead socket: no relay is there
	q.Says("listening on")
	program.WaitFor(t, "it to serve", func() bool { return askOnce("tcp", addr) == nil })
	q.Signal(unix.SIGTERM)
	q.Ends(0)
}

func errorOf(answer string) bool {
	var said struct{ Error string }
	return json.Unmarshal([]byte(answer), &said) == nil && said.Error != ""
}

// TestTakeoverRange passes more listeners than fit into one message.
func TestTakeoverRange(t *testing.T) {
	const n, host = 600, "127.31.7.3"
	first := program.FreeRange(t, host, n)
	args := []string{"relay", "-v", "--takeover", "unix:" + t.TempDir() + "/next", fmt.Sprintf("%s:%d-%d", host, first, first+n-1), program.Target(t, "tcp", late)}
	old := program.Zcp(t, args...).Start()
	program.WaitFor(t, "it to serve", func() bool { return askOnce("tcp", fmt.Sprintf("%s:%d", host, first)) == nil })
	p := program.Zcp(t, args...).Start()
	old.Says("has taken over")
	old.Ends(0)
	for _, i := range []int{0, 249, 250, n - 1} {
		if err := askOnce("tcp", fmt.Sprintf("%s:%d", host, first+i)); err != nil {
			t.Errorf("port %d: %v", i, err)
		}
	}
	p.Signal(unix.SIGTERM)
	p.Ends(0)
}

// TestTakeoverTellsSystemd: the service goes on in another process.
func TestTakeoverTellsSystemd(t *testing.T) {
	dir := t.TempDir()
	manager, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: dir + "/notify"})
	if err != nil {
		t.Fatal(err)
	}
	defer manager.Close()
	args := []string{"relay", "--takeover", "unix:" + dir + "/next", fmt.Sprintf("127.0.0.1:%d", program.FreePort()), program.Target(t, "tcp", late)}
	old := program.Zcp(t, args...).With("NOTIFY_SOCKET=" + dir + "/notify").Start()
	b := make([]byte, 200)
	says := func(want string) {
		t.Helper()
		for {
			n, err := manager.Read(b)
			if err != nil {
				t.Fatal(err)
			}
			if s := string(b[:n]); s == want {
				return
			} else if s == "STOPPING=1" {
				t.Fatalf("told %s, not %s", s, want)
			}
		}
	}
	n, err := manager.Read(b)
	if err != nil || n == 0 {
		t.Fatal(err)
	}
	next := program.Zcp(t, args...).Start()
	says(fmt.Sprintf("MAINPID=%d", next.Process.Pid))
	old.Ends(0)
	if err := manager.SetReadDeadline(time.Now()); err != nil {
		t.Fatal(err)
	}
	for {
		n, err := manager.Read(b)
		if err != nil {
			break
		}
		if string(b[:n]) == "STOPPING=1" {
			t.Error("it said that the service stops")
		}
	}
	next.Signal(unix.SIGTERM)
	next.Ends(0)
}
