package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/zcp-go/zcp/cmd/e2e/program"
)

// saysName is a target that says its name and closes.
func saysName(t testing.TB, name string) string {
	return program.Target(t, "tcp", func(c net.Conn) {
		fmt.Fprint(c, name)
		c.Close()
	})
}

// readAll connects and returns what comes until the end.
func readAll(t testing.TB, addr string) string {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	b, err := io.ReadAll(c)
	if err != nil {
		t.Errorf("%s: %v after %q", addr, err, b)
	}
	return string(b)
}

// TestRelayPairs serves two pairs and a range, and tells figures of each listener and target.
func TestRelayPairs(t *testing.T) {
	const host = "127.31.7.1"
	a, b, c := saysName(t, "a"), saysName(t, "b"), saysName(t, "c")
	first := program.FreeRange(t, host, 3)
	dir := t.TempDir()
	p := program.Zcp(t, "relay", "-v", "--stats", "unix:"+dir+"/stats", fmt.Sprintf("%s:%d-%d", host, first, first+2), a,
		"unix:"+dir+"/s", "127.0.0.1:1,"+b, "127.0.0.1:0", c).Start()
	p.Says(fmt.Sprintf(`listening on %s:%d-%d\n`, host, first, first+2))
	port := p.Says(`listening on 127.0.0.1:(\d+)`)[1]
	for i := range 3 {
		if got := readAll(t, fmt.Sprintf("%s:%d", host, first+i)); got != "a" {
			t.Errorf("port %d of the range leads to %q", i, got)
		}
	}
	u, err := net.Dial("unix", dir+"/s")
	if err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(u); string(got) != "b" || err != nil {
		t.Errorf("the spare target says %q, %v", got, err)
	}
	u.Close()
	if got := readAll(t, "127.0.0.1:"+port); got != "c" {
		t.Errorf("the last pair leads to %q", got)
	}
	p.Says(`(?s)(: ended.*){5}`)
	p.Signal(unix.SIGUSR1)
	p.Says(fmt.Sprintf(`listener %s:%d: 0 open, 1 in all, 0B up, 1B down\n`, host, first+2))
	p.Says(`target ` + a + `: 0 open, 3 in all, 0B up, 3B down\n`)
	p.Says(`target 127.0.0.1:1: 0 open, 0 in all, 0B up, 0B down, 1 failed, passed over\n`)
	var page struct{ Listeners, Targets []struct{ Total, Failed int } }
	if err := json.Unmarshal([]byte(page1(t, dir+"/stats", "/")), &page); err != nil || len(page.Listeners) != 5 || len(page.Targets) != 4 ||
		page.Targets[1].Failed != 1 || page.Listeners[4].Total != 1 {
		t.Errorf("the page is %+v, %v", page, err)
	}
	series := seriesOf(t, page1(t, dir+"/stats", "/metrics"))
	if n := series[`zcp_relay_target_down_bytes_total{target="`+a+`"}`]; n != 3 {
		t.Errorf("%v of 3 bytes in %v", n, series)
	}
	p.Signal(unix.SIGTERM)
	p.Ends(0)
}

// TestRelayToItselfByPairs refuses pairs that lead to each other.
func TestRelayToItselfByPairs(t *testing.T) {
	program.Zcp(t, "relay", "127.0.0.1:4001", "127.0.0.1:4002", "127.0.0.1:4002", "127.0.0.1:4001").Run(2).Says("the relay would connect to itself")
	program.Zcp(t, "relay", "127.0.0.1:4001", "127.0.0.1:4", ":4000-4009", "127.0.0.1:5,127.0.0.1:4001").Run(2).Says("the relay would connect to itself")
}

// TestRelayHealth: alive while it serves, ready while it accepts.
func TestRelayHealth(t *testing.T) {
	sock := filepath.Join(t.TempDir(), "stats")
	p := program.Zcp(t, "relay", "-m", "1", "--stats", "unix:"+sock, ":0", program.Target(t, "tcp", late)).Start()
	p.Says("statistics on")
	program.WaitFor(t, "it to serve", func() bool { return page1(t, sock, "/readyz") == "accepting\n" })
	if got := status1(t, sock, "/healthz", ""); got != "200" {
		t.Errorf("/healthz is %s", got)
	}
	c := program.Dial(t, p)
	program.WaitFor(t, "it to be full", func() bool { return status1(t, sock, "/readyz", "") == "503" })
	p.Signal(unix.SIGTERM)
	p.Says("no longer accepting")
	if ready, alive := page1(t, sock, "/readyz"), status1(t, sock, "/healthz", ""); ready != "ending\n" || alive != "200" {
		t.Errorf("while it drains /readyz is %q and /healthz is %s", ready, alive)
	}
	c.Close()
	p.Ends(0)
}

// TestStatsSlowClients: clients that say nothing do not keep others from the pages.
func TestStatsSlowClients(t *testing.T) {
	sock := filepath.Join(t.TempDir(), "stats")
	p := program.Zcp(t, "relay", "--stats", "unix:"+sock, ":0", program.Target(t, "tcp", late)).Start()
	p.Says("statistics on")
	for range 300 { // more than it keeps
		c, err := net.Dial("unix", sock)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		fmt.Fprint(c, "GET /metrics HTTP/1.0\r\nX: ") // and no more
	}
	program.WaitFor(t, "it to serve", func() bool { return status1(t, sock, "/healthz", "") == "200" })
	if seriesOf(t, page1(t, sock, "/metrics"))["zcp_relay_connections"] != 0 {
		t.Error("the page is wrong")
	}
}

// status1 is the status of a page, asked for with a header.
func status1(t testing.TB, sock, path, header string) string {
	t.Helper()
	answer := answer1(t, sock, path, header)
	_, status, _ := strings.Cut(answer, " ")
	return status[:3]
}

func answer1(t testing.TB, sock, path, header string) string {
	t.Helper()
	c, err := net.Dial("unix", sock)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: x\r\n%s\r\n", path, header)
	b, err := io.ReadAll(c)
	if err != nil || len(b) < 20 {
		t.Fatalf("%s: %v after %q", path, err, b)
	}
	return string(b)
}

// TestOpenMetrics: a scraper that asks for it gets it, and it is what the format wants.
func TestOpenMetrics(t *testing.T) {
	sock := filepath.Join(t.TempDir(), "stats")
	p := program.Zcp(t, "relay", "--stats", "unix:"+sock, ":0", program.Target(t, "tcp", late)).Start()
	p.Says("statistics on")
	program.Write(t, program.Dial(t, p), []byte("x"))
	for _, path := range []string{"/metrics", "/metrics/connections"} {
		head, body, _ := strings.Cut(answer1(t, sock, path, "accept: application/openmetrics-text;version=1.0.0;q=0.5,text/plain;q=0.1\r\n"), "\r\n\r\n")
		if !strings.Contains(head, "Content-Type: application/openmetrics-text; version=1.0.0; charset=utf-8\r\n") || !strings.HasSuffix(body, "\n# EOF\n") {
			t.Errorf("%s: %s ... %s", path, head, body[max(0, len(body)-50):])
		}
		for _, m := range regexp.MustCompile(`(?m)^# TYPE (\S+) counter$`).FindAllStringSubmatch(body, -1) {
			if strings.HasSuffix(m[1], "_total") || strings.Contains(body, "\n"+m[1]+" ") {
				t.Errorf("%s: the counter %s has the wrong name", path, m[1])
			}
		}
		for _, m := range regexp.MustCompile(`(?m)^# UNIT (\S+) (\S+)$`).FindAllStringSubmatch(body, -1) {
			if !strings.HasSuffix(m[1], "_"+m[2]) {
				t.Errorf("%s: the unit of %s is %s", path, m[1], m[2])
			}
		}
	}
}

// TestPromtool: the linter of Prometheus has nothing to say about the pages.
func TestPromtool(t *testing.T) {
	program.NeedTool(t, "promtool")
	sock := filepath.Join(t.TempDir(), "stats")
	p := program.Zcp(t, "relay", "--stats", "unix:"+sock, ":0", program.Target(t, "tcp", late)).Start()
	p.Says("statistics on")
	program.Write(t, program.Dial(t, p), []byte("x"))
	program.WaitFor(t, "the byte", func() bool { return strings.Contains(page1(t, sock, "/metrics"), "up_bytes_total 1\n") })
	for _, path := range []string{"/metrics", "/metrics/connections"} {
		lint := exec.Command("promtool", "check", "metrics")
		lint.Stdin = strings.NewReader(page1(t, sock, path))
		if out, err := lint.CombinedOutput(); err != nil || len(out) > 0 {
			t.Errorf("%s: %v: %s", path, err, out)
		}
	}
}

// ports is how many listeners the large range has.
const ports = 5000

// startRange starts a relay on a large range and returns when it accepts.
func startRange(t testing.TB) (p *program.Process, took time.Duration) {
	t.Helper()
	var lim unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &lim); err != nil || lim.Max < 3*ports {
		t.Skipf("NOT TESTED: %d descriptors are allowed", lim.Max)
	}
	const host = "127.31.7.2"
	first := program.FreeRange(t, host, ports)
	began := time.Now()
	p = program.Zcp(t, "relay", "-v", "--explain", fmt.Sprintf("%s:%d-%d", host, first, first+ports-1), program.Target(t, "tcp", late)).Start()
	p.Says("each direction through memory") // it serves, and accepts
	c, err := net.Dial("tcp", net.JoinHostPort(host, strconv.Itoa(first+ports-1)))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	p.Says("#1 ")
	return p, time.Since(began)
}

// TestRangeMemory: 5,000 listeners take less than 30 MB.
func TestRangeMemory(t *testing.T) {
	if slowdown > 1 {
		t.Skip("the race detector takes several times the memory")
	}
	p, _ := startRange(t)
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`VmRSS:\s+(\d+) kB`).FindSubmatch(b)
	if kb, _ := strconv.Atoi(string(m[1])); kb == 0 || kb > 30_000 {
		t.Errorf("%d listeners take %d kB", ports, kb)
	}
}

// BenchmarkRangeStart is the time until a relay of 5,000 ports has a connection at the last of them.
func BenchmarkRangeStart(b *testing.B) {
	for range b.N {
		p, took := startRange(b)
		b.ReportMetric(float64(took.Milliseconds()), "ms/start")
		p.Signal(unix.SIGINT)
		p.End()
	}
}

// TestRelayGrace: after SIGTERM it is not ready any more, and still accepts for a while.
func TestRelayGrace(t *testing.T) {
	t.Parallel()
	sock := filepath.Join(t.TempDir(), "stats")
	p := program.Zcp(t, "relay", "-v", "--grace", "1s", "--stats", "unix:"+sock, ":0", program.Target(t, "tcp", late)).Start()
	p.Says("statistics on")
	program.WaitFor(t, "it to serve", func() bool { return page1(t, sock, "/readyz") == "accepting\n" })
	p.Signal(unix.SIGTERM)
	program.WaitFor(t, "it to say so", func() bool { return page1(t, sock, "/readyz") == "ending\n" })
	c := program.Dial(t, p)
	program.Write(t, c, []byte("hello"))
	p.Says("#1 ")
	p.Says("no longer accepting; 1 connection still open")
	if err := c.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(c); string(b) != "HELLO" || err != nil {
		t.Errorf("got %q, %v", b, err)
	}
	p.Ends(0)
}
