package e2e

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/zcp-go/zcp/cmd/e2e/program"
)

const megabyte = 1 << 20

// resumable makes a file, and a .part beside another name that holds the first part bytes of it.
func resumable(t *testing.T, size, part int) (src, dst string, data []byte) {
	t.Helper()
	data = program.Noise(size, uint64(size))
	src, dst = filepath.Join(t.TempDir(), "f"), filepath.Join(t.TempDir(), "out")
	program.WriteFile(t, src, data, 0o644)
	if part > 0 {
		program.WriteFile(t, dst+".part", data[:part], 0o644)
	}
	return src, dst, data
}

// Only what is not there moves, whichever end listens, over TCP and Unix sockets, from and to every size of a part.
func TestResume(t *testing.T) {
	t.Parallel()
	const size = 3*megabyte + 12345
	for i, part := range []int{0, 1, megabyte - 1, megabyte, megabyte + 1, size - 1, size} {
		program.InSomeModes(t, i, func(t *testing.T, m program.Mode) {
			src, dst, data := resumable(t, size, part)
			r := m.Zcp(t, "recv", "--resume", "--json", "--hash", "sha256", ":0", dst).Start()
			port := r.Says(`"listening".*"port":(\d+)`)[1]
			s := m.Zcp(t, "send", "--resume", "--json", "--hash", "sha256", src, "127.0.0.1:"+port).Run(0)
			r.Ends(0)
			program.Holds(t, dst, data)
			program.Absent(t, dst+".part")
			sum := sha256Of(data)
			counts := func(offset int) string {
				if offset == 0 {
					return fmt.Sprintf(`"event":"end".*"bytes":%d,.*"digest":"%s"`, size, sum)
				}
				return fmt.Sprintf(`"event":"end".*"bytes":%d,.*"offset":%d,.*"digest":"%s"`, size-offset, offset, sum)
			}
			r.Says(counts(part))
			s.Says(counts(max(0, part-megabyte)))
		})
	}
}

// The roles, and the kinds of sockets.
func TestResumeRoles(t *testing.T) {
	for _, network := range []string{"tcp", "unix"} {
		for _, serves := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s serves %v", network, serves), func(t *testing.T) {
				t.Parallel()
				src, dst, data := resumable(t, 2*megabyte+1, megabyte+7)
				at := "127.0.0.1:0"
				if network == "unix" {
					at = "unix:" + filepath.Join(t.TempDir(), "s")
				}
				send := []string{"send", "--resume", src}
				recv := []string{"recv", "--resume"}
				first, second := append(recv, "-l", at, dst), send
				if serves {
					first, second = append(send, "-l", at), recv
				}
				p := program.Zcp(t, first...).Start()
				to := p.Says(`listening on (\S+)`)[1]
				if second = append(second, to); serves {
					second = append(second, dst)
				}
				program.Zcp(t, second...).Run(0)
				p.Ends(0).Says(`were there before`)
				program.Holds(t, dst, data)
			})
		}
	}
}

// A server with -k sends each client what it lacks.
func TestResumeServed(t *testing.T) {
	src, dst, data := resumable(t, 2*megabyte, 5)
	p := program.Zcp(t, "send", "-k", "--resume", src, ":0").Start()
	for _, name := range []string{dst, filepath.Join(t.TempDir(), "fresh")} {
		program.Zcp(t, "recv", "--resume", "127.0.0.1:"+p.Port(), name).Run(0)
		program.Holds(t, name, data)
	}
}

// wanting starts a recv --resume, connects to it as a sender would, and returns what it asks for.
func wanting(t *testing.T, dst string, args ...string) (p *program.Process, c *net.TCPConn, from int64, key string) {
	t.Helper()
	p = program.Zcp(t, append([]string{"recv", "--resume"}, append(args, ":0", dst)...)...).Start()
	c = program.Dial(t, p)
	from, key = readWant(t, c)
	return p, c, from, key
}

func readWant(t *testing.T, c net.Conn) (from int64, key string) {
	t.Helper()
	var line []byte
	for !bytes.HasSuffix(line, []byte("\n")) {
		line = append(line, program.ReadN(t, c, 1)...)
		if t.Failed() {
			t.FailNow()
		}
	}
	m := regexp.MustCompile(`^zcp1 want from=(\d+) key=([0-9a-f]{16})\n$`).FindSubmatch(line)
	if m == nil {
		t.Fatalf("it said %q", line)
	}
	from, _ = strconv.ParseInt(string(m[1]), 10, 64)
	return from, string(m[2])
}

// What must not be stored is refused with 3, and leaves the part as it was.
func TestResumeRefused(t *testing.T) {
	const part = megabyte + 10
	data := program.Noise(2*megabyte, 9)
	overlap := string(data[10:part])
	at := func(from, size int64, key string) string {
		return fmt.Sprintf("zcp1 at from=%d size=%d key=%s\n", from, size, key)
	}
	for _, tc := range []struct {
		name, says string
		answer     func(key string) string
	}{
		{"another key", "another request", func(string) string { return at(10, 2*megabyte, "0123456789abcdef") + overlap }},
		{"another place", "another request", func(k string) string { return at(11, 2*megabyte, k) + overlap[1:] }},
		{"from the start", "another request", func(k string) string { return at(0, 2*megabyte, k) + string(data) }},
		{"beyond the end", "less than what is here", func(k string) string { return at(10, part-1, k) + overlap }},
		{"another overlap", "another file", func(k string) string { return at(10, 2*megabyte, k) + overlap[:megabyte-1] + "\x00" }},
		{"a short overlap", "ended after", func(k string) string { return at(10, 2*megabyte, k) + overlap[:megabyte/2] }},
		{"too few", "ended after", func(k string) string { return at(10, 2*megabyte, k) + overlap }},
		{"too many", "more than", func(k string) string { return at(10, part, k) + overlap + "x" }},
		{"plain", "tail -c \\+1048587 FILE", func(string) string { return string(data) }},
		{"nothing", "tail -c", func(string) string { return "" }},
		{"a long line", "tail -c", func(k string) string {
			return "zcp1 at from=10 size=2097152 key=" + k + strings.Repeat(" ", 256) + "\n" + overlap
		}},
		{"binary", "tail -c", func(k string) string { return "zcp1 at \x00\xff\n" + overlap }},
		{"cut off", "tail -c", func(k string) string { return "zcp1 at from=1" }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			dst := filepath.Join(t.TempDir(), "out")
			program.WriteFile(t, dst+".part", data[:part], 0o644)
			program.WriteFile(t, dst, []byte("old"), 0o644)
			p, c, from, key := wanting(t, dst)
			if from != part {
				t.Errorf("it wants from %d, and has %d", from, part)
			}
			go func() {
				_, _ = io.WriteString(c, tc.answer(key)) // it may be reset meanwhile
				_ = c.CloseWrite()
			}()
			p.Ends(3).Says(tc.says)
			program.Holds(t, dst+".part", data[:part])
			program.Holds(t, dst, []byte("old"))
		})
	}
}

// The answer may come in segments of a byte, together with the payload, and without any.
func TestResumeSegments(t *testing.T) {
	dst := filepath.Join(t.TempDir(), "out")
	program.WriteFile(t, dst+".part", []byte("abc"), 0o644)
	p, c, _, key := wanting(t, dst)
	for _, b := range []byte("zcp1 at from=0 size=6 key=" + key + "\nabcdef") {
		program.Write(t, c, []byte{b})
	}
	if err := c.CloseWrite(); err != nil {
		t.Error(err)
	}
	p.Ends(0)
	program.Holds(t, dst, []byte("abcdef"))

	p, c, _, key = wanting(t, dst)
	program.Write(t, c, []byte("zcp1 at from=0 size=0 key="+key+"\n"))
	if err := c.CloseWrite(); err != nil {
		t.Error(err)
	}
	p.Ends(0)
	program.Holds(t, dst, nil)
}

// With nothing there, a stream that is not an answer is the file.
func TestResumePlainStream(t *testing.T) {
	for _, text := range []string{"plain", "zcp1 at the beginning\nof a poem", "zcp1 at "} {
		dst := filepath.Join(t.TempDir(), "out")
		p, c, _, _ := wanting(t, dst)
		program.Write(t, c, []byte(text))
		if err := c.CloseWrite(); err != nil {
			t.Error(err)
		}
		p.Ends(0)
		program.Holds(t, dst, []byte(text))
	}
}

// A sender asks nothing of a receiver that is not zcp, and believes no line but the one that it waits for.
func TestResumeSender(t *testing.T) {
	t.Parallel()
	src, _, data := resumable(t, 2*megabyte, 0)
	for _, tc := range []struct {
		said string
		ends bool // the receiver ends its direction
		at   int64
		line bool
	}{
		{"", true, 0, false},
		{"hello\n", false, 0, false},
		{strings.Repeat("x", 300) + " want\nzcp1 want from=5\nzcp1 want from=-1 key=0123456789abcdef\nzcp1 busy to=1\n", true, 0, false},
		{"\x00\xffzcp1\nzcp1 want from=1048580 key=0123456789abcdef\nzcp1 want from=7 key=0123456789abcdef\n", false, 4, true},
	} {
		p, c := program.MeetPeer(t, program.Modes[0], "send", "--resume", src)
		program.Write(t, c, []byte(tc.said))
		if tc.ends {
			if err := c.CloseWrite(); err != nil {
				t.Error(err)
			}
		}
		got, err := io.ReadAll(c)
		c.Close()
		want := string(data[tc.at:])
		if tc.line {
			want = fmt.Sprintf("zcp1 at from=%d size=%d key=0123456789abcdef\n", tc.at, len(data)) + want
		}
		if err != nil || string(got) != want {
			t.Errorf("%.40q: %d bytes %.60q, %v, want %d", tc.said, len(got), got, err, len(want))
		}
		if p.Ends(0); !tc.line {
			p.Says("did not ask where to begin")
		}
	}
	p, c := program.MeetPeer(t, program.Modes[0], "send", "--resume", src)
	program.Write(t, c, []byte("zcp1 want from=2097153 key=0123456789abcdef\n"))
	if got, _ := io.ReadAll(c); string(got) != "zcp1 at from=1048577 size=2097152 key=0123456789abcdef\n" {
		t.Errorf("an offset beyond the file is answered %.80q", got)
	}
	p.Ends(3).Says("already has 2.00MiB")
}

// Only a regular file of one's own, with one name, that no other process writes is taken up.
func TestResumeTakesUp(t *testing.T) {
	locked := func(t *testing.T, part string) {
		f, err := os.Create(part)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		if err := unix.Flock(int(f.Fd()), unix.LOCK_EX); err != nil {
			t.Fatal(err)
		}
	}
	outside := filepath.Join(t.TempDir(), "outside")
	program.WriteFile(t, outside, []byte("outside"), 0o644)
	for _, tc := range []struct {
		name, says string
		make       func(t *testing.T, part string)
	}{
		{"locked", "another zcp is receiving into it", locked},
		{"symlink", "not a regular file", func(t *testing.T, part string) { check(t, os.Symlink(outside, part)) }},
		{"FIFO", "not a regular file", func(t *testing.T, part string) { check(t, unix.Mkfifo(part, 0o644)) }},
		{"directory", "not a regular file", func(t *testing.T, part string) { check(t, os.Mkdir(part, 0o755)) }},
		{"two names", "second name", func(t *testing.T, part string) { check(t, os.Link(outside, part)) }},
		{"another user's", "another user", func(t *testing.T, part string) {
			program.NeedRoot(t)
			program.WriteFile(t, part, []byte("x"), 0o666)
			check(t, os.Chown(part, 12345, -1))
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dst := filepath.Join(t.TempDir(), "out")
			tc.make(t, dst+".part")
			program.Zcp(t, "recv", "--resume", ":0", dst).Run(1).Says(tc.says)
			program.Holds(t, outside, []byte("outside"))
		})
	}
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestResumeUsage(t *testing.T) {
	dir := t.TempDir()
	fifo := filepath.Join(dir, "fifo")
	check(t, unix.Mkfifo(fifo, 0o644))
	f := program.Source(t, "x")
	for _, args := range [][]string{
		{"send", "--resume", "-", ":0"}, {"send", "--resume", f, f, ":0"}, {"send", "--resume", dir + "/", ":0"},
		{"send", "--resume", "--tar", f, ":0"}, {"send", "--resume", fifo, ":0"}, {"send", "--resume", "-S", "-s1", f, ":0"},
		{"send", "--resume", "-k", "--retry-for=1", f, ":0"}, {"send", "--retry-for=1", f, ":0"},
		{"recv", "--resume", ":0"}, {"recv", "--resume", ":0", dir + "/"}, {"recv", "--resume", ":0", fifo},
		{"recv", "--resume", ":0", "/dev/null"}, {"recv", "--resume", "-a", ":0", filepath.Join(dir, "x")},
		{"recv", "--resume", "-k", ":0", filepath.Join(dir, "x%d")}, {"recv", "--retry-for=1", ":0", filepath.Join(dir, "x")},
		{"cat", "--resume", f}, {"relay", "--resume", ":0", "a:1"},
	} {
		program.Zcp(t, args...).Run(2)
	}
}

// The expected digest is that of the whole file.
func TestResumeExpect(t *testing.T) {
	for _, good := range []bool{true, false} {
		src, dst, data := resumable(t, 2*megabyte, megabyte+3)
		want := sha256Of(data)
		if !good {
			want = sha256Of(data[3:])
		}
		r := program.Zcp(t, "recv", "--resume", "--expect", want, ":0", dst).Start()
		s := program.Zcp(t, "send", "--resume", src, "127.0.0.1:"+r.Port()).Start()
		if good {
			r.Ends(0)
			s.Ends(0)
			program.Holds(t, dst, data)
		} else {
			r.Ends(4)
			s.Ends(3)
			program.Absent(t, dst)
		}
	}
}

// The receipt is for the whole file, with --sync for what the device gives back.
func TestResumeVerify(t *testing.T) {
	t.Parallel()
	for _, extra := range [][]string{{}, {"--sync"}, {"--hash", "blake3"}} {
		for _, part := range []int{0, megabyte + 3} {
			src, dst, _ := resumable(t, 2*megabyte, part)
			r := program.Zcp(t, append([]string{"recv", "--resume", "--verify", ":0", dst}, extra...)...).Start()
			send := []string{"send", "--json", "--resume", "--verify", src, "127.0.0.1:" + r.Port()}
			if len(extra) == 2 {
				send = append(send, extra...)
			}
			program.Zcp(t, send...).Run(0).Says(`"event":"end".*"verified":true`)
			r.Ends(0).Says("receipt sent")
		}
	}
	// What is there differs before the overlap: nothing but the receipt tells.
	src, dst, data := resumable(t, 3*megabyte, 0)
	bad := bytes.Clone(data[:2*megabyte])
	bad[7] ^= 1
	program.WriteFile(t, dst+".part", bad, 0o644)
	r := program.Zcp(t, "recv", "--resume", "--verify", ":0", dst).Start()
	program.Zcp(t, "send", "--resume", "--verify", src, "127.0.0.1:"+r.Port()).Run(4).Says("what is stored is not what was sent")
	r.End()
	src, dst, _ = resumable(t, 3*megabyte, megabyte)
	r = program.Zcp(t, "recv", "--resume", ":0", dst).Start()
	program.Zcp(t, "send", "--resume", "--verify", src, "127.0.0.1:"+r.Port()).Run(4).Says("sent no receipt")
}

// A break is healed on both sides, said, and counted. The part holds what came before it.
func TestHeal(t *testing.T) {
	dst := filepath.Join(t.TempDir(), "out")
	p := program.Zcp(t, "recv", "--resume", "--json", "--retry-for", "60", ":0", dst).Start()
	port := p.Says(`"listening".*"port":(\d+)`)[1]
	dial := func() *net.TCPConn {
		c, err := net.Dial("tcp", "127.0.0.1:"+port)
		check(t, err)
		check(t, c.SetDeadline(time.Now().Add(program.GuardTime)))
		return c.(*net.TCPConn)
	}
	text, breaks := "the first the second the third", 0
	for i, n := range []int{0, 10, 21} {
		c := dial()
		from, key := readWant(t, c)
		if from != int64(n) {
			t.Errorf("connection %d: from %d, want %d", i, from, n)
		}
		goal := append([]int{10, 21}, len(text))[i]
		program.Write(t, c, []byte(fmt.Sprintf("zcp1 at from=0 size=%d key=%s\n%s", len(text), key, text[:goal])))
		switch i {
		case 0: // an early end
			c.CloseWrite()
		case 1: // a reset, when it has been stored
			program.AwaitSize(t, dst+".part", int64(goal))
			program.Reset(t, c)
		case 2:
			c.CloseWrite()
			continue
		}
		breaks++
		p.Says(fmt.Sprintf(`"event":"break".*"status":3,"breaks":%d`, breaks))
		c.Close()
	}
	p.Ends(0).Says(`"event":"end".*"bytes":30,.*"breaks":2`)
	program.Holds(t, dst, []byte(text))
}

// A connection that comes takes the place of one that is silent, and a probe that says nothing does no harm.
func TestHealReplaces(t *testing.T) {
	t.Parallel()
	src, dst, data := resumable(t, megabyte+5, 0)
	p := program.Zcp(t, "recv", "--resume", "--retry-for", "60", "--idle", "60", ":0", dst).Start()
	silent := program.Dial(t, p)
	readWant(t, silent)
	program.Zcp(t, "send", "--resume", "--retry-for", "60", src, "127.0.0.1:"+p.Port()).Run(0)
	p.Ends(0).Says("silent, and another connection has come")
	program.Holds(t, dst, data)
}

// A client that connects to a serving sender and says nothing before it goes does not end it.
func TestHealProbed(t *testing.T) {
	src, dst, data := resumable(t, 1000, 0)
	p := program.Zcp(t, "send", "--resume", "--retry-for", "60", src, ":0").Start()
	c := program.Dial(t, p)
	check(t, c.CloseWrite())
	p.Says("closed without a word")
	program.Zcp(t, "recv", "--resume", "127.0.0.1:"+p.Port(), dst).Run(0)
	p.Ends(0)
	program.Holds(t, dst, data)
}

// Without another connection the status is that of the break, and the part stays.
func TestHealGivesUp(t *testing.T) {
	t.Parallel()
	dst := filepath.Join(t.TempDir(), "out")
	p, c, _, key := wanting(t, dst, "--retry-for", "0.3")
	program.Write(t, c, []byte("zcp1 at from=0 size=6 key="+key+"\nabc"))
	program.AwaitSize(t, dst+".part", 3)
	program.Reset(t, c)
	p.Ends(3).Says(`connection reset by peer after 3B; no other connection went on within .*; \S+out.part holds 3B`)

	p, c, from, key := wanting(t, dst, "--retry-for", "0.3", "--idle", "0.3")
	if from != 3 {
		t.Errorf("from %d", from)
	}
	program.Write(t, c, []byte("zcp1 at from=0 size=6 key="+key+"\nabc"))
	p.Ends(5).Says(`waiting .* for another connection`)

	src := program.Source(t, "abcdef")
	p, c = program.MeetPeer(t, program.Modes[0], "send", "--resume", "--retry-for", "0.3", src)
	program.Write(t, c, []byte("zcp1 want from=0 key=0123456789abcdef\n"))
	program.ReadN(t, c, 10)
	program.Reset(t, c)
	p.Ends(3).Says(`connection reset by peer`)
}

// A file that another process changes between two connections is not taken for the one that was begun.
func TestHealChanged(t *testing.T) {
	src := program.Source(t, strings.Repeat("old", 1000))
	p := program.Zcp(t, "send", "--resume", "--retry-for", "60", src, ":0").Start()
	c := program.Dial(t, p)
	program.Write(t, c, []byte("zcp1 want from=0 key=0123456789abcdef\n"))
	program.ReadN(t, c, 100)
	program.Reset(t, c)
	p.Says("for another connection")
	f, err := os.OpenFile(src, os.O_WRONLY, 0)
	check(t, err)
	program.Write(t, f, []byte("new"))
	f.Close()
	c = program.Dial(t, p)
	program.Write(t, c, []byte("zcp1 want from=10 key=0123456789abcdef\n"))
	_, _ = io.Copy(io.Discard, c)
	c.Close()
	p.Ends(6).Says("changed while it was being sent")
}

// A file that grows is sent as it was at the start, also in several connections.
func TestHealGrew(t *testing.T) {
	src := program.Source(t, strings.Repeat("old", 100_000))
	f, err := os.OpenFile(src, os.O_WRONLY|os.O_APPEND, 0) // no lease is granted
	check(t, err)
	defer f.Close()
	p := program.Zcp(t, "send", "--resume", "--retry-for", "60", src, ":0").Start()
	c := program.Dial(t, p)
	program.Write(t, c, []byte("zcp1 want from=0 key=0123456789abcdef\n"))
	program.ReadN(t, c, 1000)
	program.Reset(t, c)
	p.Says("for another connection")
	program.Write(t, f, []byte("more"))
	c = program.Dial(t, p)
	program.Write(t, c, []byte("zcp1 want from=900 key=0123456789abcdef\n"))
	got, err := io.ReadAll(c)
	if want := "zcp1 at from=0 size=300000 key=0123456789abcdef\n" + strings.Repeat("old", 100_000); err != nil || string(got) != want {
		t.Errorf("%d bytes, %v, want %d", len(got), err, len(want))
	}
	c.Close()
	p.Ends(0).Says("has grown while it was being sent")
}

// nc, ncat and socat as the other end of both, in both roles.
func TestResumePeers(t *testing.T) {
	for _, tc := range []struct{ name, sends, serves string }{
		{"nc", "nc -N 127.0.0.1 PORT", "nc -N -l 127.0.0.1 PORT"},
		{"ncat", "ncat 127.0.0.1 PORT", "ncat -l 127.0.0.1 PORT"},
		{"socat", "socat -t 10 - TCP:127.0.0.1:PORT", "socat -t 10 - TCP-LISTEN:PORT,reuseaddr"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			program.NeedTool(t, tc.name)
			src, dst, data := resumable(t, 300_000, 0)
			port := strconv.Itoa(program.FreePort())
			peer := func(line string) *program.Process {
				words := strings.Fields(strings.ReplaceAll(line, "PORT", port))
				f, err := os.Open(src)
				check(t, err)
				t.Cleanup(func() { f.Close() })
				return program.Command(t, words[0], words[1:]...).From(f)
			}
			p := program.Zcp(t, "recv", "--resume", "127.0.0.1:"+port, "-l", dst).Start()
			p.Port()
			peer(tc.sends).Start()
			p.Ends(0)
			program.Holds(t, dst, data)
			peer(tc.serves).Start()
			program.Zcp(t, "recv", "--resume", "--retry-for", "20", "127.0.0.1:"+port, dst+"2").Run(0)
			program.Holds(t, dst+"2", data)
		})
	}
}
