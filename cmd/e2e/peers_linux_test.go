package e2e

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/zcp-go/zcp/cmd/e2e/program"
)

// A meet is zcp at one end and another program at the other. In their commands IN is the
// file, OUT where it goes, PORT the port; the peer's is run by sh with /dev/null as stdin.
type meet struct {
	peer  string // the tool
	zcp   string
	other string
	end   string // what zcp's last line has to match; empty for recv: plainEnd
	kill  bool   // the peer never ends by itself
}

var pushes = []meet{
	{"nc", "send IN 127.0.0.1:PORT", "nc -l -N 127.0.0.1 PORT > OUT", program.EarlyEnd, false},
	{"nc", "send IN 127.0.0.1:PORT --linger 0.1", "sleep 600 | nc -l 127.0.0.1 PORT > OUT", program.PlainEnd, true},
	{"ncat", "send IN 127.0.0.1:PORT", "ncat -l 127.0.0.1 PORT > OUT", program.EarlyEnd, false},
	{"ncat", "send IN 127.0.0.1:PORT", "ncat -l --recv-only 127.0.0.1 PORT > OUT", program.EarlyEnd, false},
	{"socat", "send IN 127.0.0.1:PORT", "socat -u TCP-LISTEN:PORT,bind=127.0.0.1,reuseaddr OPEN:OUT,creat", program.PlainEnd, false},
	{"socat", "send IN 127.0.0.1:PORT", "socat TCP-LISTEN:PORT,bind=127.0.0.1,reuseaddr - > OUT", program.EarlyEnd, false},
	{"socat", "send IN unix:SOCK", "socat -u UNIX-LISTEN:SOCK OPEN:OUT,creat", program.PlainEnd, false},
	{"ncat", "send IN unix:SOCK", "ncat -lU SOCK > OUT", program.EarlyEnd, false},
}

var serves = []meet{
	{"nc", "send IN :0", "nc -N 127.0.0.1 PORT > OUT", program.EarlyEnd, false},
	{"nc", "send IN :0 --linger 0.1", "sleep 600 | nc 127.0.0.1 PORT > OUT", program.OpenEnd, true},
	{"ncat", "send IN :0", "ncat --recv-only 127.0.0.1 PORT > OUT", `(` + program.PlainEnd + `|` + program.EarlyEnd + `)`, false},
	{"ncat", "send IN :0", "ncat 127.0.0.1 PORT > OUT", program.EarlyEnd, false},
	{"socat", "send IN :0", "socat -u TCP:127.0.0.1:PORT OPEN:OUT,creat", program.PlainEnd, false},
	{"bash", "send IN :0", "exec bash -c 'cat < /dev/tcp/127.0.0.1/PORT > OUT'", program.PlainEnd, false},
	{"socat", "send IN -l unix:SOCK", "socat -u UNIX:SOCK OPEN:OUT,creat", program.PlainEnd, false},
}

var waits = []meet{
	{"nc", "recv :0 OUT", "nc -N 127.0.0.1 PORT < IN", "", false},
	{"ncat", "recv :0 OUT", "ncat --send-only 127.0.0.1 PORT < IN", "", false},
	{"ncat", "recv :0 OUT", "ncat 127.0.0.1 PORT < IN", "", false},
	{"socat", "recv :0 OUT", "socat -u OPEN:IN TCP:127.0.0.1:PORT", "", false},
	{"socat", "recv :0 OUT", "socat - TCP:127.0.0.1:PORT < IN", "", false},
	{"bash", "recv :0 OUT", "exec bash -c 'cat IN > /dev/tcp/127.0.0.1/PORT'", "", false},
	{"socat", "recv -l unix:SOCK OUT", "socat -u OPEN:IN UNIX:SOCK", "", false},
}

var pulls = []meet{
	{"nc", "recv 127.0.0.1:PORT OUT", "nc -N -l 127.0.0.1 PORT < IN", "", false},
	{"ncat", "recv 127.0.0.1:PORT OUT", "ncat -l 127.0.0.1 PORT < IN", "", false},
	{"ncat", "recv 127.0.0.1:PORT OUT", "ncat -l --send-only 127.0.0.1 PORT < IN", "", false},
	{"socat", "recv 127.0.0.1:PORT OUT", "socat -u OPEN:IN TCP-LISTEN:PORT,bind=127.0.0.1,reuseaddr", "", false},
	{"socat", "recv 127.0.0.1:PORT OUT", "socat TCP-LISTEN:PORT,bind=127.0.0.1,reuseaddr - < IN", "", false},
	{"socat", "recv unix:SOCK OUT", "socat -u OPEN:IN UNIX-LISTEN:SOCK", "", false},
}

// The wire carries the payload and nothing else: every tool can be the other end, in both
// roles, over the kernel's paths and through memory: each with one of the two, and with both by ZCP_TEST_ALL=1.
func TestPeers(t *testing.T) {
	t.Parallel()
	for role, meets := range map[string][]meet{"push": pushes, "serve": serves, "wait": waits, "pull": pulls} {
		for i, m := range meets {
			for j, size := range []int{0, 5_000_011} {
				for k, how := range []string{"", " -C"} {
					if (i+j+k)%2 != 0 && !program.All() {
						continue
					}
					name := fmt.Sprintf("%s/%s-%d%s/%d", role, m.peer, i, how, size)
					m := m
					m.zcp += how
					t.Run(name, func(t *testing.T) {
						t.Parallel()
						program.NeedTool(t, m.peer)
						m.run(t, size)
					})
				}
			}
		}
	}
}

func (m meet) run(t *testing.T, size int) {
	dir := t.TempDir()
	in, out := filepath.Join(dir, "in"), filepath.Join(dir, "out")
	content := program.Noise(size, 3)
	program.WriteFile(t, in, content, 0o644)
	port := strconv.Itoa(program.FreePort())
	fill := func(text string) string {
		// LISTEN is in the list because it holds IN.
		return strings.NewReplacer("IN", in, "OUT", out, "PORT", port, "SOCK", "sock", "LISTEN", "LISTEN").Replace(text)
	}
	listens := strings.Contains(m.zcp, ":0") || strings.Contains(m.zcp, " -l ")
	args := strings.Fields(fill(m.zcp))
	if !listens {
		args = append(args, "--retry-for", "1m")
	}
	p := program.Zcp(t, args...)
	p.Dir = dir
	p.Start()
	if strings.Contains(m.zcp, ":0") {
		port = p.Port()
	} else if listens {
		p.Says("listening")
	}
	other := program.Command(t, "sh", "-c", "exec 2>&1; "+fill(m.other))
	other.Dir = dir
	other.Start()
	p.Ends(0)
	if m.kill {
		program.AwaitSize(t, out, int64(size))
	} else {
		other.Ends(0)
	}
	program.Holds(t, out, content)
	end := m.end
	if end == "" {
		end = program.PlainEnd
	}
	if size > 0 {
		p.Says(end)
	}
	if t.Failed() {
		t.Logf("the peer said %q", other.Out)
	}
	if _, err := os.Stat(out + ".part"); err == nil {
		t.Error(".part is left")
	}
}

// A source that never closes is waited for: nc -l without -N holds the connection after
// its last byte. What has arrived is in .part, and nc's end, however it comes, is the end.
func TestPullFromOneThatStays(t *testing.T) {
	program.NeedTool(t, "nc")
	dir := t.TempDir()
	content := program.Noise(300_000, 4)
	program.WriteFile(t, filepath.Join(dir, "in"), content, 0o644)
	port := strconv.Itoa(program.FreePort())
	nc := program.Command(t, "nc", "-l", "127.0.0.1", port)
	f, err := os.Open(filepath.Join(dir, "in"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	nc.From(f).Start()
	p := program.Zcp(t, "recv", "--retry-for", "1m", "127.0.0.1:"+port, filepath.Join(dir, "out")).Start()
	program.AwaitSize(t, filepath.Join(dir, "out.part"), int64(len(content)))
	program.Asleep(t, p.Process.Pid)
	program.Absent(t, filepath.Join(dir, "out"))
	nc.Signal(unix.SIGTERM)
	p.Ends(0)
	program.Holds(t, filepath.Join(dir, "out"), content)
}

// A peer that answers while it receives would stall a sender that does not listen.
func TestPeerAnswers(t *testing.T) {
	t.Parallel()
	program.NeedTool(t, "socat")
	dir := t.TempDir()
	program.WriteFile(t, filepath.Join(dir, "in"), program.Noise(30_000_000, 5), 0o644)
	for _, how := range []string{"-v", "-vC"} {
		port := strconv.Itoa(program.FreePort())
		echo := program.Command(t, "socat", "TCP-LISTEN:"+port+",reuseaddr", "EXEC:cat").Start()
		p := program.Zcp(t, "send", how, "--retry-for", "1m", filepath.Join(dir, "in"), "127.0.0.1:"+port).Run(0)
		p.Says(`sent 28\.6MiB back, which was dropped`)
		p.Says(`(?m), to \S+ in \S+ \(\S+/s\)$`) // the rate's course may follow
		echo.Ends(0)
	}
}

// A paused reader is a stall, not an error: recv to a pipe that is not read for a while.
func TestPausedReader(t *testing.T) {
	r, w := program.Pipe(t)
	p := program.Zcp(t, "recv", "-q", ":0")
	p.Stdout = w
	p.Start()
	w.Close()
	s := program.Zcp(t, "send", "-S", "-s", "20M", "zero:", "127.0.0.1:"+p.Port()).Start()
	program.Asleep(t, p.Process.Pid)
	program.Asleep(t, s.Process.Pid)
	if n, err := io.Copy(io.Discard, r); n != 20<<20 || err != nil {
		t.Errorf("read %d, %v", n, err)
	}
	p.Ends(0)
	s.Ends(0)
}
