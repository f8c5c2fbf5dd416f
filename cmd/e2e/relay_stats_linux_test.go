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

	"github.com/creack/pty"
	"golang.org/x/sys/unix"

	"github.com/zcp-go/zcp/cmd/e2e/program"
)

// The statistics, as JSON and as Prometheus' text, and SIGUSR1's table tell the same connection.
func TestRelayStatistics(t *testing.T) {
	sock := filepath.Join(t.TempDir(), "stats")
	addr := program.Target(t, "tcp", func(c net.Conn) { _, _ = io.Copy(c, c); c.Close() })
	p := program.Zcp(t, "relay", "--json", "--stats", "unix:"+sock, ":0", addr).Start()
	port := p.Says(`"event":"listening".*"port":(\d+)`)[1]
	c, err := net.Dial("tcp", "127.0.0.1:"+port)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	program.Write(t, c, []byte("hello"))
	if _, err := io.ReadFull(c, make([]byte, 5)); err != nil {
		t.Fatal(err)
	}
	var page struct {
		Event       string
		Open        int
		UpBytes     int64 `json:"up_bytes"`
		Connections []struct {
			ID        int
			Peer      string
			UpBytes   int64 `json:"up_bytes"`
			DownBytes int64 `json:"down_bytes"`
			Waits     string
		}
	}
	if err := json.Unmarshal([]byte(page1(t, sock, "/")), &page); err != nil {
		t.Fatal(err)
	}
	if page.Open != 1 || len(page.Connections) != 1 || page.Connections[0].UpBytes != 5 || page.Connections[0].DownBytes != 5 ||
		page.Connections[0].Peer != c.LocalAddr().String() || page.Connections[0].Waits != "nobody sends" {
		t.Errorf("JSON says %+v", page)
	}
	series := seriesOf(t, page1(t, sock, "/metrics"))
	for name, value := range seriesOf(t, page1(t, sock, "/metrics/connections")) {
		series[name] = value
	}
	row := fmt.Sprintf(`{id="1",peer="%s",target="%s"}`, c.LocalAddr(), addr)
	for name, want := range map[string]float64{"zcp_relay_connections": 1, "zcp_relay_up_bytes_total": 5, "zcp_relay_connection_up_bytes_total" + row: 5,
		"zcp_relay_connection_down_bytes_total" + row: 5, "zcp_relay_connection_waits" + strings.TrimSuffix(row, "}") + `,for="nobody sends"}`: 1} {
		if got, ok := series[name]; !ok || got != want {
			t.Errorf("%s is %v, want %v (%v)", name, got, want, series)
		}
	}
	if totals := seriesOf(t, page1(t, sock, "/metrics/totals")); totals["zcp_relay_up_bytes_total"] != 5 || len(totals) >= len(series) {
		t.Errorf("the totals are %v", totals)
	}
	if !strings.HasPrefix(page1(t, sock, "/nothing"), "there is /") {
		t.Error("an unknown page was found")
	}
	p.Signal(unix.SIGUSR1)
	p.Says(`"event":"totals".*"open":1`)
	p.Says(`"event":"connection".*"up_bytes":5,"down_bytes":5`)
	c.Close()
	p.Says(`"event":"close".*"up_bytes":5,"down_bytes":5.*"reason":"ended","ending":"ended"`)
	p.Signal(unix.SIGTERM)
	p.Ends(0)
	for _, line := range strings.Split(strings.TrimSpace(p.ErrOut.String()), "\n") {
		var flat map[string]any
		if err := json.Unmarshal([]byte(line), &flat); err != nil || flat["event"] == nil || flat["time"] == nil {
			t.Errorf("%q: %v", line, err)
		}
	}
}

var (
	metricHead   = regexp.MustCompile(`^# (HELP|TYPE) ([a-z_]+) (.+)$`)
	metricSample = regexp.MustCompile(`^([a-z_]+)(\{[a-z]+="(?:[^"\\\n]|\\[\\"n])*"(?:,[a-z]+="(?:[^"\\\n]|\\[\\"n])*")*\})? (\S+)$`)
)

// seriesOf reads Prometheus' text format as strictly as it is written down: for each metric
// its HELP, its TYPE, and then all its samples, each of them once, and a line feed at the end.
func seriesOf(t testing.TB, text string) map[string]float64 {
	t.Helper()
	if !strings.HasSuffix(text, "\n") {
		t.Errorf("no line feed at the end of %q", text)
	}
	series, seen, metric, next := map[string]float64{}, map[string]bool{}, "", "HELP"
	for _, line := range strings.Split(strings.TrimSuffix(text, "\n"), "\n") {
		if h := metricHead.FindStringSubmatch(line); h != nil {
			switch {
			case h[1] == "HELP" && next == "HELP" && !seen[h[2]]:
				metric, next, seen[h[2]] = h[2], "TYPE", true
			case h[1] == "TYPE" && next == "TYPE" && h[2] == metric && (h[3] == "gauge" || h[3] == "counter" && strings.HasSuffix(metric, "_total")):
				next = "HELP"
			default:
				t.Errorf("%q is not what comes next", line)
			}
			continue
		}
		s := metricSample.FindStringSubmatch(line)
		if s == nil || s[1] != metric || next != "HELP" {
			t.Errorf("%q is not a sample of %s", line, metric)
			continue
		}
		value, err := strconv.ParseFloat(s[3], 64)
		if _, twice := series[s[1]+s[2]]; twice || err != nil {
			t.Errorf("%q: %v, or it was there before", line, err)
		}
		series[s[1]+s[2]] = value
	}
	return series
}

// The statistics' socket file of a relay that was killed is replaced; that of one that lives is not.
func TestRelayStatisticsAgain(t *testing.T) {
	sock := filepath.Join(t.TempDir(), "stats")
	args := []string{"relay", "--stats", "unix:" + sock, ":0", program.Target(t, "tcp", late)}
	killed := program.Zcp(t, args...).Start()
	killed.Says("statistics on")
	killed.Kill(unix.SIGKILL)
	killed.Ends(128 + int(unix.SIGKILL))
	p := program.Zcp(t, args...).Start()
	p.Says("statistics on")
	program.Zcp(t, args...).Run(1).Says("address already in use")
	if page := page1(t, sock, "/metrics/totals"); seriesOf(t, page)["zcp_relay_connections"] != 0 {
		t.Errorf("got %s", page)
	}
	p.Signal(unix.SIGINT)
	p.Ends(128 + int(unix.SIGINT))
	program.Absent(t, sock)
}

// page1 asks a server on a Unix socket for a page, in HTTP/1.0.
func page1(t testing.TB, sock, path string) string {
	t.Helper()
	c, err := net.Dial("unix", sock)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprintf(c, "GET %s HTTP/1.0\r\nHost: x\r\n\r\n", path)
	b, err := io.ReadAll(c)
	if err != nil {
		t.Fatal(err)
	}
	_, body, _ := strings.Cut(string(b), "\r\n\r\n")
	return body
}

// On a terminal one line says what goes on. Other lines, and the end, leave nothing of it.
func TestRelayLine(t *testing.T) {
	t.Parallel()
	p := exec.Command(program.Path(t), "relay", "127.0.0.1:0", program.Target(t, "tcp", late))
	p.Env = append(os.Environ(), "TERM=xterm")
	terminal, err := pty.StartWithSize(p, &pty.Winsize{Rows: 24, Cols: 100})
	if err != nil {
		t.Fatal(err)
	}
	defer terminal.Close()
	defer time.AfterFunc(program.GuardTime, func() { _ = p.Process.Kill() }).Stop()
	shown := program.NewScreen()
	read := make(chan struct{})
	go func() {
		_, _ = io.Copy(shown, terminal) // EIO when the program has ended
		shown.Close()
		close(read)
	}()
	shows := func(pattern string) []string {
		t.Helper()
		m := shown.Await(pattern)
		if m == nil {
			t.Fatalf("never %q, but %q", pattern, shown)
		}
		return m
	}
	c, err := net.Dial("tcp", shows(`listening on (\S+)`)[1])
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	program.Write(t, c, []byte("hello"))
	shows(`relay 127\.0\.0\.1:0 -> 127\.0\.0\.1:\d+  1 open, 0 done  up 5B down 0B  \[`)
	if err := p.Process.Signal(unix.SIGUSR1); err != nil {
		t.Error(err)
	}
	shows(`\r\x1b\[Jzcp: 1 open \(limit`)
	if err := c.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	shows(`  0 open, 1 done  up 5B down 5B  \[`)
	if err := p.Process.Signal(unix.SIGTERM); err != nil {
		t.Error(err)
	}
	if err := p.Wait(); err != nil {
		t.Error(err)
	}
	<-read
	if text := shown.String(); strings.LastIndex(text, " done") > strings.LastIndex(text, "\r\x1b[J") {
		t.Errorf("the line was left behind: %q", text)
	}
}
