package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// target is a server behind a relay: it hands every connection to f, one after the other.
func target(t testing.TB, network string, f func(net.Conn)) (addr string) {
	t.Helper()
	where := "127.0.0.1:0"
	if network == "unix" {
		where = filepath.Join(t.TempDir(), "target")
	}
	ln, err := net.Listen(network, where)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			_ = c.SetDeadline(time.Now().Add(guardTime)) // a connection that is gone already says so itself
			go f(c)
		}
	}()
	if network == "unix" {
		return "unix:" + where
	}
	return ln.Addr().String()
}

// late answers only when the client has ended: with what it got, turned to upper case.
func late(c net.Conn) {
	b, _ := io.ReadAll(c) // what came until the end
	_, _ = c.Write(bytes.ToUpper(b))
	c.Close()
}

// The late answer after a half-close, over TCP and Unix sockets in all four combinations.
func TestRelayHalfClose(t *testing.T) {
	for _, from := range []string{"tcp", "unix"} {
		for _, to := range []string{"tcp", "unix"} {
			t.Run(from+" to "+to, func(t *testing.T) {
				listen, network := ":0", "tcp"
				if from == "unix" {
					network, listen = "unix", "unix:"+filepath.Join(t.TempDir(), "s")
				}
				p := zcp(t, "relay", "-v", listen, target(t, to, late)).start()
				addr := strings.TrimPrefix(listen, "unix:")
				if from == "tcp" {
					addr = "127.0.0.1:" + p.port()
				} else {
					p.says("listening")
				}
				c, err := net.Dial(network, addr)
				if err != nil {
					t.Fatal(err)
				}
				write(t, c, []byte("hello"))
				if err := c.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
					t.Fatal(err)
				}
				if b, err := io.ReadAll(c); string(b) != "HELLO" || err != nil {
					t.Errorf("got %q, %v", b, err)
				}
				p.says(`up 5B, down 5B in .*: ended`)
				p.signal(unix.SIGTERM)
				p.ends(0)
				if from == "unix" {
					absent(t, addr)
				}
			})
		}
	}
}

// SIGTERM closes the listener at once and lets connections end; --drain bounds that; SIGINT
// does not wait, and neither does a second SIGTERM.
func TestRelayDrain(t *testing.T) {
	for _, test := range []struct {
		name   string
		args   []string
		signal syscall.Signal
		cut    bool
		twice  bool
		status int
	}{
		{"until they end", nil, unix.SIGTERM, false, false, 0},
		{"for a while", []string{"--drain", "100ms"}, unix.SIGTERM, true, false, 1},
		{"at once", nil, unix.SIGINT, true, false, 130},
		{"a second signal", nil, unix.SIGTERM, true, true, 143},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := zcp(t, append([]string{"relay", "-v", ":0", target(t, "tcp", late)}, test.args...)...).start()
			c := dial(t, p)
			p.says("#1 .* to ")
			write(t, c, []byte("hello"))
			p.signal(test.signal)
			if test.twice {
				p.says("no new connections, 1 are still open")
				p.signal(test.signal)
			}
			if test.cut {
				wantReset(t, c)
				p.ends(test.status)
				return
			}
			p.says("no new connections, 1 are still open")
			waitFor(t, "the listener to be closed", func() bool {
				again, err := net.Dial("tcp", "127.0.0.1:"+p.port())
				if err == nil {
					again.Close()
				}
				return err != nil
			})
			if err := c.CloseWrite(); err != nil {
				t.Fatal(err)
			}
			if b, err := io.ReadAll(c); string(b) != "HELLO" || err != nil {
				t.Errorf("got %q, %v", b, err)
			}
			p.ends(test.status)
		})
	}
}

// wantRefused connects to a relay that resets its clients at once, perhaps before the
// connection is seen to be one.
func wantRefused(t testing.TB, p *program) {
	t.Helper()
	c, err := net.Dial("tcp", "127.0.0.1:"+p.port())
	if errors.Is(err, unix.ECONNRESET) {
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	wantReset(t, c)
}

// A client whose target refuses gets a reset, and the log a line; one that may not connect gets a reset.
func TestRelayRefuses(t *testing.T) {
	p := zcp(t, "relay", ":0", "127.0.0.1:1").start()
	wantRefused(t, p)
	p.says(`127.0.0.1:1: target unreachable: connection refused for 127.0.0.1:\d+`)
	q := zcp(t, "relay", "-v", "--deny", "127.0.0.0/8", ":0", target(t, "tcp", late)).start()
	wantRefused(t, q)
	q.says(`may not connect: reset`)
}

// The statistics, as JSON and as Prometheus' text, and SIGUSR1's table tell the same connection.
func TestRelayStatistics(t *testing.T) {
	sock := filepath.Join(t.TempDir(), "stats")
	addr := target(t, "tcp", func(c net.Conn) { _, _ = io.Copy(c, c); c.Close() })
	p := zcp(t, "relay", "--json", "--stats", "unix:"+sock, ":0", addr).start()
	port := p.says(`"event":"listening".*"port":(\d+)`)[1]
	c, err := net.Dial("tcp", "127.0.0.1:"+port)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	write(t, c, []byte("hello"))
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
	p.signal(unix.SIGUSR1)
	p.says(`"event":"totals".*"open":1`)
	p.says(`"event":"connection".*"up_bytes":5,"down_bytes":5`)
	c.Close()
	p.says(`"event":"close".*"up_bytes":5,"down_bytes":5.*"reason":"ended"`)
	p.signal(unix.SIGTERM)
	p.ends(0)
	for _, line := range strings.Split(strings.TrimSpace(p.err.String()), "\n") {
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
			t.Errorf("%q is no sample of %s", line, metric)
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
	args := []string{"relay", "--stats", "unix:" + sock, ":0", target(t, "tcp", late)}
	killed := zcp(t, args...).start()
	killed.says("statistics on")
	killed.kill(unix.SIGKILL)
	killed.ends(128 + int(unix.SIGKILL))
	p := zcp(t, args...).start()
	p.says("statistics on")
	zcp(t, args...).run(1).says("address already in use")
	if page := page1(t, sock, "/metrics/totals"); seriesOf(t, page)["zcp_relay_connections"] != 0 {
		t.Errorf("got %s", page)
	}
	p.signal(unix.SIGINT)
	p.ends(128 + int(unix.SIGINT))
	absent(t, sock)
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

// A service: the socket comes from the service manager, which is told when it is served
// and when that ends; it ends by itself when nobody came for a while.
func TestRelayService(t *testing.T) {
	notify := filepath.Join(t.TempDir(), "notify")
	manager, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: notify})
	if err != nil {
		t.Fatal(err)
	}
	defer manager.Close()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	f, err := ln.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	p := zcp(t, "relay", "--exit-idle", "200ms", "sd:", target(t, "tcp", late)).with("LISTEN_FDS=1", "NOTIFY_SOCKET="+notify)
	p.ExtraFiles = []*os.File{f}
	p.start()
	b := make([]byte, 100)
	if n, err := manager.Read(b); string(b[:n]) != "READY=1" || err != nil {
		t.Errorf("told %q, %v", b[:n], err)
	}
	c, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	write(t, c, []byte("hello"))
	if err := c.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(c).ReadString('O'); line != "HELLO" || err != nil {
		t.Errorf("got %q, %v", line, err)
	}
	c.Close()
	if n, err := manager.Read(b); string(b[:n]) != "STOPPING=1" || err != nil {
		t.Errorf("told %q, %v", b[:n], err)
	}
	p.ends(0)

	connected, other := unixPair(t)
	defer connected.Close()
	defer other.Close()
	p = zcp(t, "relay", "sd:", "127.0.0.1:1").with("LISTEN_FDS=1")
	p.ExtraFiles = []*os.File{connected}
	p.run(1).says("sd:: descriptor 3 does not listen")
}
