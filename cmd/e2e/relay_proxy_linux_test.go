package e2e

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/zcp-go/zcp/cmd/e2e/program"
)

// haproxy starts HAProxy with one frontend and one server.
func haproxy(t testing.TB, bind, server string) (port int) {
	t.Helper()
	program.NeedTool(t, "haproxy")
	port = program.FreePort()
	name := filepath.Join(t.TempDir(), "haproxy.cfg")
	text := fmt.Sprintf(`defaults
 mode tcp
 timeout connect 5s
 timeout client 60s
 timeout server 60s
frontend f
 bind 127.0.0.1:%d %s
 default_backend b
backend b
 server s %s
`, port, bind, server)
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	program.Command(t, "haproxy", "-db", "-q", "-f", name).Start()
	listens(t, port)
	return port
}

// nginx starts nginx as a proxy of streams.
func nginx(t testing.TB, listen, server string) (port int) {
	t.Helper()
	program.NeedTool(t, "nginx")
	const module = "/usr/lib/nginx/modules/ngx_stream_module.so"
	if _, err := os.Stat(module); err != nil {
		t.Skip("NOT TESTED: nginx has no stream module")
	}
	port = program.FreePort()
	dir := t.TempDir()
	name := filepath.Join(dir, "nginx.conf")
	text := fmt.Sprintf(`load_module %s;
daemon off;
master_process off;
pid %s/pid;
error_log stderr crit;
events {}
stream { server { listen 127.0.0.1:%d %s; %s } }
`, module, dir, port, listen, server)
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	program.Command(t, "nginx", "-c", name, "-e", "stderr").Start()
	listens(t, port)
	return port
}

// listens waits until a port is listened on, without connecting to it.
func listens(t testing.TB, port int) {
	t.Helper()
	want := fmt.Sprintf(":%04X 00000000:0000 0A", port)
	program.WaitFor(t, "the proxy to listen", func() bool {
		b, err := os.ReadFile("/proc/net/tcp")
		return err == nil && strings.Contains(string(b), want)
	})
}

// headers is a target that hands on the first bytes of each connection, and speaks first.
func headers(t testing.TB) (addr string, got chan string) {
	got = make(chan string, 8)
	return program.Target(t, "tcp", func(c net.Conn) {
		defer c.Close()
		b := make([]byte, 200)
		n, _ := c.Read(b)
		got <- string(b[:n])
		fmt.Fprint(c, "banner\n")
		_, _ = io.Copy(c, c)
	}), got
}

// meets connects, reads the banner, and sends a line that comes back.
func meets(t testing.TB, port string) net.Addr {
	t.Helper()
	c, err := net.Dial("tcp", "127.0.0.1:"+port)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(program.GuardTime)); err != nil {
		t.Fatal(err)
	}
	fmt.Fprint(c, "x")
	if s := string(program.ReadN(t, c, 7)); s != "banner\n" {
		t.Errorf("got %q", s)
	}
	program.Write(t, c, []byte("echo"))
	b := make([]byte, 5)
	n, err := io.ReadAtLeast(c, b, 4)
	if s := string(b[:n]); !strings.Contains(s, "ech") || err != nil {
		t.Errorf("got %q, %v", s, err)
	}
	return c.LocalAddr()
}

// TestProxyNeighbours: HAProxy and nginx in front say whose the connection is, and behind they understand what is
// said to them.
func TestProxyNeighbours(t *testing.T) {
	inFront := func(start func(t *testing.T, relay string) int) func(*testing.T) {
		return func(t *testing.T) {
			addr, _ := headers(t)
			p := program.Zcp(t, "relay", "-v", "--accept-proxy", "127.0.0.1", "127.0.0.1:0", addr).Start()
			client := meets(t, fmt.Sprint(start(t, "127.0.0.1:"+p.Port())))
			p.Says(regexp.QuoteMeta(client.String()) + " to ")
		}
	}
	t.Run("haproxy in front, v1", inFront(func(t *testing.T, relay string) int { return haproxy(t, "", relay+" send-proxy") }))
	t.Run("haproxy in front, v2", inFront(func(t *testing.T, relay string) int {
		return haproxy(t, "", relay+" send-proxy-v2 proxy-v2-options unique-id,crc32c check")
	}))
	t.Run("nginx in front, v1", inFront(func(t *testing.T, relay string) int {
		return nginx(t, "", "proxy_pass "+relay+"; proxy_protocol on;")
	}))
	t.Run("nginx in front, v2", inFront(func(t *testing.T, relay string) int {
		const option = "proxy_protocol_version"
		name, err := exec.LookPath("nginx")
		if err != nil {
			t.Skip("NOT TESTED: nginx is not installed")
		}
		if b, err := os.ReadFile(name); err != nil || !bytes.Contains(b, []byte(option)) {
			t.Skip("NOT TESTED: this nginx sends version 1 only")
		}
		return nginx(t, "", "proxy_pass "+relay+"; proxy_protocol on; "+option+" 2;")
	}))
	for _, version := range []string{"v1", "v2"} {
		behind := func(start func(t *testing.T, server string) int) func(*testing.T) {
			return func(t *testing.T) {
				addr, got := headers(t) // the proxy says to it what it was told
				p := program.Zcp(t, "relay", "-v", "--send-proxy", version, "127.0.0.1:0", fmt.Sprintf("127.0.0.1:%d", start(t, addr))).Start()
				client := meets(t, p.Port()).(*net.TCPAddr)
				want := fmt.Sprintf("PROXY TCP4 127.0.0.1 127.0.0.1 %d %s\r\n", client.Port, p.Port())
				if s := <-got; !strings.HasPrefix(s, want) && !strings.HasPrefix(s, want[:strings.LastIndexByte(want, ' ')+1]) {
					t.Errorf("behind the proxy came %q, want %q", s, want)
				}
			}
		}
		t.Run("haproxy behind, "+version, behind(func(t *testing.T, server string) int { return haproxy(t, "accept-proxy", server+" send-proxy") }))
		t.Run("nginx behind, "+version, behind(func(t *testing.T, server string) int {
			return nginx(t, "proxy_protocol", "set_real_ip_from 127.0.0.1; proxy_pass "+server+"; proxy_protocol on;")
		}))
	}
}

// TestProxyAtOnce: a server that speaks first has its client's header with the connection. Between the relay's connect
// and the header it neither reads nor, where the connection stands at once, waits; the client says nothing. On one
// processor the relay has one loop, so what stands there in the trace is its doing. The log has the time from the
// connection to the header ("go test -v").
func TestProxyAtOnce(t *testing.T) {
	program.NeedTool(t, "strace")
	const conns = 20
	var late []time.Duration
	var lock sync.Mutex
	addr := program.Target(t, "tcp", func(c net.Conn) {
		defer c.Close()
		began := time.Now()
		b := make([]byte, 200)
		if n, err := c.Read(b); !strings.HasPrefix(string(b[:n]), "PROXY TCP4 ") {
			t.Errorf("got %q, %v", b[:n], err)
		}
		lock.Lock()
		late = append(late, time.Since(began))
		lock.Unlock()
		fmt.Fprint(c, "banner\n")
	})
	_, port, _ := net.SplitHostPort(addr)
	trace := filepath.Join(t.TempDir(), "trace")
	p := program.Command(t, "strace", "-f", "-qq", "-o", trace, "-e", "signal=none", "-e", "trace=network,read,write,splice,/^epoll_p?wait",
		program.Path(t), "relay", "--send-proxy", "v1", "127.0.0.1:0", addr).With("GOMAXPROCS=1").Start()
	for range conns {
		c := program.Dial(t, p)
		if s := string(program.ReadN(t, c, 7)); s != "banner\n" {
			t.Errorf("the server says %q", s)
		}
		c.Close()
	}
	p.Kill(unix.SIGTERM)
	p.End()
	headers, waited := headerAtOnce(t, program.Trace(t, trace), port)
	if headers != conns || waited > conns/2 { // the kernel may put off a handshake, on busy processors
		t.Errorf("of %d connections %d have a header in the trace, and %d waited for it", conns, headers, waited)
	}
	slices.Sort(late)
	t.Logf("from the connection to the header, under strace: median %v, most %v", late[len(late)/2], late[len(late)-1])
}

var (
	tracedCall = regexp.MustCompile(`^\d+ +(\w+)\((?:(\d+))?`)
	madeSocket = regexp.MustCompile(`(?:socket|accept4)\(.*= (\d+)\n`)
	loopWait   = regexp.MustCompile(`epoll_pwait2\((\d+),`) // Go's scheduler has a poller of its own, which it asks by epoll_pwait
	takes      = map[string]bool{"read": true, "recvfrom": true, "recvmsg": true, "splice": true}
)

// headerAtOnce looks in the trace of a relay with one loop at what it does between each connect to a port and the
// header, and returns how many headers it has seen and before how many the loop waited. The loop may go on on another
// thread meanwhile.
func headerAtOnce(t *testing.T, trace, port string) (headers, waited int) {
	t.Helper()
	is := map[string]string{} // what a descriptor is: "socket" or "loop"
	for _, m := range madeSocket.FindAllStringSubmatch(trace, -1) {
		is[m[1]] = "socket"
	}
	for _, m := range loopWait.FindAllStringSubmatch(trace, -1) {
		is[m[1]] = "loop"
	}
	var connecting string // the descriptor
	var stands, waits bool
	var wrong []string
	for line := range strings.Lines(trace) {
		m := tracedCall.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		call, fd := m[1], m[2]
		switch {
		case call == "connect" && strings.Contains(line, "htons("+port+")"):
			waits = waits && fd == connecting // it asks a second time
			connecting, stands = fd, strings.Contains(line, "= 0\n") || strings.Contains(line, "EISCONN")
		case connecting == "":
		case call == "write" && fd == connecting && strings.Contains(line, `"PROXY `):
			headers++
			if wrong != nil {
				t.Errorf("between connect and the header: %q", wrong)
			}
			if waits {
				waited++
			}
			connecting, wrong = "", nil
		case takes[call] && is[fd] == "socket", is[fd] == "loop" && stands:
			wrong = append(wrong, line)
		case is[fd] == "loop":
			waits = true
		}
	}
	return headers, waited
}

// TestProxySpliced: what follows a header goes by splice, and hardly a byte of it through memory.
func TestProxySpliced(t *testing.T) {
	program.NeedTool(t, "strace")
	const size = 64 << 20
	received := make(chan int64, 1)
	addr := program.Target(t, "tcp", func(c net.Conn) {
		n, _ := io.Copy(io.Discard, c)
		received <- n
		c.Close()
	})
	trace := filepath.Join(t.TempDir(), "trace")
	p := program.Command(t, "strace", "-f", "-o", trace, "-e", "trace=splice,recvfrom,read", program.Path(t),
		"relay", "-v", "--accept-proxy", "127.0.0.1", "127.0.0.1:0", addr).Start()
	c := program.Dial(t, p)
	program.Write(t, c, []byte("PROXY TCP4 192.0.2.1 192.0.2.2 8080 80\r\n"))
	program.Write(t, c, make([]byte, size))
	if err := c.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if n := <-received; n != size {
		t.Errorf("%d of %d bytes arrived", n, size)
	}
	p.Says("192.0.2.1:8080 .*: ended")
	p.Kill(unix.SIGTERM)
	p.End()
	moved := map[string]int64{}
	for _, m := range regexp.MustCompile(`(splice|recvfrom|read)\(.*= (\d+)\n`).FindAllStringSubmatch(program.Trace(t, trace), -1) {
		var n int64
		if _, err := fmt.Sscan(m[2], &n); err != nil {
			t.Error(err)
		}
		moved[m[1]] += n
	}
	if copied := moved["recvfrom"] + moved["read"]; moved["splice"] < 2*size-4<<20 || copied > 1<<20 {
		t.Errorf("of %d bytes %d were spliced and %d read", size, moved["splice"]/2, copied)
	}
}
