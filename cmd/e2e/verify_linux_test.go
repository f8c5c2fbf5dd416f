package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/zcp-go/zcp/cmd/e2e/program"
)

const (
	receiptSent = `, receipt sent\n`
	verified    = `, verified\n`
)

// What is stored is what was sent: both say so, whatever the algorithm, the destination, the role and the network.
func TestVerify(t *testing.T) {
	t.Parallel()
	data := program.Noise(3_000_001, 5)
	for name, flags := range map[string]string{
		"sha256": "", "blake3": "--hash blake3", "sync": "--sync", "sync append": "--sync -a", "append": "-a",
		"expect": "--expect " + sha256Of(data), "memory": "-C", "stop": "-S -s 3000001",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dst := filepath.Join(t.TempDir(), "out")
			want := data
			if strings.Contains(flags, "-a") {
				program.WriteFile(t, dst, []byte("before"), 0o600)
				want = append([]byte("before"), data...)
			}
			r := program.Zcp(t, append(strings.Fields("recv --verify "+flags), ":0", dst)...).Start()
			args := []string{"send", "--verify", "--json"}
			if name == "blake3" {
				args = append(args, "--hash", name)
			}
			s := program.Zcp(t, append(args, program.Source(t, string(data)), "127.0.0.1:"+r.Port())...).Run(0)
			r.Ends(0).Says(receiptSent)
			program.Holds(t, dst, want)
			if !endOf(t, s).Verified {
				t.Errorf("not verified:\n%s", s.ErrOut)
			}
		})
	}
}

type endEvent struct {
	Event    string
	Verified bool
	Status   int
	Error    string
}

func endOf(t *testing.T, p *program.Process) (e endEvent) {
	t.Helper()
	for line := range strings.Lines(p.ErrOut.String()) {
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatal(err)
		}
		if e.Event == "end" {
			return e
		}
	}
	t.Fatalf("no end event:\n%s", p.ErrOut)
	return e
}

// A receiver without a file says what was delivered, and the receiver may be the one that connects.
func TestVerifyStreams(t *testing.T) {
	content := strings.Repeat("stream", 100_000)
	for _, network := range []string{"tcp", "unix"} {
		end, serve := ":0", []string{"send", "--verify", "-", ":0"}
		if network == "unix" {
			end = "unix:" + filepath.Join(t.TempDir(), "sock")
			serve = []string{"send", "--verify", "-l", "-", end}
		}
		s := program.Zcp(t, serve...).From(strings.NewReader(content)).Start()
		s.Says("listening")
		if network == "tcp" {
			end = "127.0.0.1:" + s.Port()
		}
		r := program.Zcp(t, "recv", "--verify", end).Run(0)
		r.Says(receiptSent)
		if r.Out.String() != content {
			t.Errorf("%s: %d bytes arrived", network, len(r.Out.String()))
		}
		s.Ends(0).Says(verified)
	}
}

// Standard output that can be read is read back from where it stood.
func TestVerifyStdout(t *testing.T) {
	for _, sync := range []bool{false, true} {
		name := filepath.Join(t.TempDir(), "f")
		program.WriteFile(t, name, []byte("0123456789abcdef"), 0o600)
		f, err := os.OpenFile(name, os.O_RDWR, 0)
		if err == nil {
			_, err = f.Seek(4, io.SeekStart)
		}
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		args := []string{"recv", "--verify", ":0"}
		if sync {
			args = append(args, "--sync")
		}
		r := program.Zcp(t, args...)
		r.Stdout = f
		r.Start()
		program.Zcp(t, "send", "--verify", program.Source(t, "payload"), "127.0.0.1:"+r.Port()).Run(0).Says(verified)
		r.Ends(0)
		program.Holds(t, name, []byte("0123payloadbcdef"))
	}
}

// An empty file is verified as any other, and keeps its own rule: it replaces nothing.
func TestVerifyEmpty(t *testing.T) {
	dst := filepath.Join(t.TempDir(), "out")
	r := program.Zcp(t, "recv", "--verify", ":0", dst).Start()
	program.Zcp(t, "send", "--verify", os.DevNull, "127.0.0.1:"+r.Port()).Run(0).Says(verified)
	r.Ends(0)
	program.Holds(t, dst, nil)
}

// Each connection of -k has a receipt of its own, at either end.
func TestVerifyServed(t *testing.T) {
	dir, src := t.TempDir(), program.Source(t, "served")
	p := program.Zcp(t, "send", "-k", "--verify", src, ":0").Start()
	port := p.Port()
	for range 2 {
		program.Zcp(t, "recv", "--verify", "127.0.0.1:"+port, os.DevNull).Run(0)
	}
	program.Zcp(t, "recv", "127.0.0.1:"+port, os.DevNull).Run(0)
	p.Says(`(?s)sent .*, verified\nzcp: .*sent .*, verified\n.*the receiver sent no receipt`)
	r := program.Zcp(t, "recv", "-k", "--verify", ":0", filepath.Join(dir, "in-%d")).Start()
	port = r.Port()
	for i := range 2 {
		program.Zcp(t, "send", "--verify", src, "127.0.0.1:"+port).Run(0).Says(verified)
		program.Holds(t, filepath.Join(dir, fmt.Sprintf("in-%d", i+1)), []byte("served"))
	}
	r.Says(`(?s)receipt sent\n.*receipt sent\n`)
}

// A tree is verified by the stream that it was, bodies as they are in their files.
func TestVerifyTree(t *testing.T) {
	t.Parallel()
	src, dst := t.TempDir(), filepath.Join(t.TempDir(), "dst")
	program.WriteFile(t, filepath.Join(src, "large"), program.Noise(700_001, 3), 0o644)
	program.WriteFile(t, filepath.Join(src, "small"), []byte("small"), 0o600)
	holes := make([]byte, 1<<20)
	copy(holes[500_000:], "data")
	f, err := os.Create(filepath.Join(src, "holes"))
	if err == nil {
		err = f.Truncate(int64(len(holes)))
	}
	if err == nil {
		_, err = f.WriteAt([]byte("data"), 500_000)
	}
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
	for _, into := range []string{"new", "existing"} {
		for _, sync := range []bool{false, true} {
			args := []string{"recv", "--verify", "--hash", "sha256"}
			if sync {
				args = append(args, "--sync")
			}
			r := program.Zcp(t, append(args, ":0", dst+"/")...).Start()
			s := program.Zcp(t, "send", "--verify", "--hash", "sha256", src+"/", "127.0.0.1:"+r.Port()).Run(0)
			s.Says(verified)
			r.Ends(0).Says(receiptSent)
			digest := s.Says(`sha256 ([0-9a-f]{64})  -\n`)[1]
			if got := r.Says(`sha256 ([0-9a-f]{64})  -\n`)[1]; got != digest {
				t.Errorf("%s: %s, sent %s", into, got, digest)
			}
			program.Holds(t, filepath.Join(dst, "large"), program.Noise(700_001, 3))
			program.Holds(t, filepath.Join(dst, "holes"), holes)
		}
	}
}

// The digest of what is unpacked is that of the archive, its padding included.
func TestHashOfUnpacking(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "src"), 0o755); err != nil {
		t.Fatal(err)
	}
	program.WriteFile(t, filepath.Join(dir, "src", "file"), program.Noise(300_001, 3), 0o644)
	archive := filepath.Join(dir, "a.tar")
	program.NeedTool(t, "tar")
	program.Command(t, "tar", "-C", filepath.Join(dir, "src"), "-cf", archive, ".").Run(0)
	b, err := os.ReadFile(archive)
	if err != nil {
		t.Fatal(err)
	}
	program.Zcp(t, "cat", "--hash", "sha256", "-o", filepath.Join(dir, "out")+"/", archive).Run(0).Says(`sha256 ` + sha256Of(b) + `  ` + archive + `\n`)
}

// A proxy between the two changes one bit: the receiver cannot know, the sender does.
func TestVerifyWire(t *testing.T) {
	for _, at := range []int64{0, 1_500_000, 3_000_000} {
		dst := filepath.Join(t.TempDir(), "out")
		r := program.Zcp(t, "recv", "--verify", ":0", dst).Start()
		to := "127.0.0.1:" + r.Port()
		via := program.Target(t, "tcp", func(c net.Conn) { flipping(t, c.(*net.TCPConn), to, at) })
		s := program.Zcp(t, "send", "--verify", program.Source(t, string(program.Noise(3_000_001, 5))), via).Run(4)
		s.Says(`what is stored is not what was sent: 3,000,001 bytes of sha256 [0-9a-f]{64}, not 3,000,001 bytes of [0-9a-f]{64}\n`)
		r.Ends(0)
	}
}

// flipping passes a connection on, and changes a bit of the byte at an offset.
func flipping(t *testing.T, from *net.TCPConn, to string, at int64) {
	c, err := net.Dial("tcp", to)
	if err != nil {
		t.Error(err)
		return
	}
	defer c.Close()
	back := make(chan struct{})
	go func() {
		defer close(back)
		_, _ = io.Copy(from, c) // what is missing is the receipt, and the sender tells
		from.Close()
	}()
	b := make([]byte, at+1)
	if _, err := io.ReadFull(from, b); err != nil {
		t.Error(err)
		return
	}
	b[at] ^= 4
	program.Write(t, c, b)
	if _, err := io.Copy(c, from); err != nil {
		t.Error(err)
	}
	_ = c.(*net.TCPConn).CloseWrite() // the receiver's end tells
	<-back
}

// A bit that changes in the stored file before it is read back: with --sync that is after the end.
func TestVerifyStored(t *testing.T) {
	data := program.Noise(300_000, 5)
	dst := filepath.Join(t.TempDir(), "out")
	r := program.Zcp(t, "recv", "--verify", "--sync", ":0", dst).Start()
	in, w := program.Pipe(t)
	s := program.Zcp(t, "send", "--verify", "-", "127.0.0.1:"+r.Port()).From(in).Start()
	program.Write(t, w, data)
	program.AwaitSize(t, dst+".part", int64(len(data)))
	f, err := os.OpenFile(dst+".part", os.O_RDWR, 0)
	if err == nil {
		_, err = f.WriteAt([]byte{data[12345] ^ 1}, 12345)
	}
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
	w.Close()
	s.Ends(4).Says("what is stored is not what was sent")
	r.Ends(0)
}

// A bit that changes in the source while it is sent, before or behind the place that was read.
func TestVerifySource(t *testing.T) {
	t.Parallel()
	for _, open := range []bool{false, true} { // a writer that has it open already keeps the lease away
		for _, at := range []int64{0, 3_999_999} {
			src := filepath.Join(t.TempDir(), "source")
			program.WriteFile(t, src, program.Noise(4_000_000, 5), 0o600)
			var w *os.File
			write := func() {
				var err error
				if w == nil {
					w, err = os.OpenFile(src, os.O_RDWR, 0)
				}
				if err == nil {
					_, err = w.WriteAt([]byte("changed")[:1], at)
				}
				if err != nil {
					t.Error(err)
				}
			}
			if open {
				var err error
				if w, err = os.OpenFile(src, os.O_RDWR, 0); err != nil {
					t.Fatal(err)
				}
			}
			dst := filepath.Join(t.TempDir(), "out")
			r := program.Zcp(t, "recv", "--verify", ":0", dst).Start()
			s := program.Zcp(t, "send", "--verify", "-L", "4M", src, "127.0.0.1:"+r.Port()).Start()
			program.WaitFor(t, "bytes in the .part", func() bool {
				fi, err := os.Stat(dst + ".part")
				return err == nil && fi.Size() > 0
			})
			write()
			w.Close()
			if status := s.End(); status != 6 && status != 4 {
				t.Errorf("open %v, at %d: status %d\n%s", open, at, status, s.ErrOut)
			}
			r.End()
		}
	}
}

// Whatever comes back instead of a receipt, send does not call it one, and it ends.
func TestVerifyBadReceipts(t *testing.T) {
	const content = "payload"
	good := "zcp1 done bytes=7 sha256=" + sha256Of([]byte(content)) + "\n"
	other := "zcp1 done bytes=7 sha256=" + sha256Of([]byte("other")) + "\n"
	none := "the receiver sent no receipt"
	for name, tc := range map[string]struct {
		said   string
		status int
		want   string
	}{
		"none":          {"", 4, none},
		"good":          {good, 0, verified},
		"noise before":  {strings.Repeat("\x00\xff", 5000) + "\n" + good, 0, verified},
		"twice":         {good + good, 0, verified},
		"two":           {other + good, 4, "two receipts that differ"},
		"wrong":         {other, 4, "not what was sent"},
		"short":         {"zcp1 done bytes=6 sha256=" + sha256Of([]byte(content)) + "\n", 4, "6 bytes of sha256"},
		"other hash":    {"zcp1 done bytes=7 blake3=" + sha256Of([]byte(content)) + "\n", 4, "the receipt is by blake3, not by sha256"},
		"no newline":    {strings.TrimSuffix(good, "\n"), 4, none},
		"too long":      {strings.TrimSuffix(good, "\n") + " x=" + strings.Repeat("y", 300) + "\n", 4, none},
		"unknown hash":  {"zcp1 done bytes=7 md5=" + sha256Of([]byte(content)) + "\n", 4, none},
		"another word":  {"zcp1 stored bytes=7\n", 4, none},
		"want":          {"zcp1 want from=0 key=0000000000000001\n", 4, none},
		"not at a line": {"x" + good, 4, none},
		"http":          {"HTTP/1.1 400 Bad Request\r\n\r\n", 4, none},
		"binary":        {string(program.Noise(100_000, 4)), 4, none},
	} {
		for _, piece := range []int{1, 1 << 20} {
			t.Run(fmt.Sprint(name, "/", piece), func(t *testing.T) {
				t.Parallel()
				addr := program.Target(t, "tcp", func(c net.Conn) {
					_, _ = io.Copy(io.Discard, c)
					for said := []byte(tc.said); len(said) > 0; said = said[min(piece, len(said)):] {
						if _, err := c.Write(said[:min(piece, len(said))]); err != nil {
							return // what was heard by then decides
						}
					}
					c.Close()
				})
				if len(tc.said) > 2000 && piece == 1 {
					return // one segment for each byte of these takes long and shows nothing more
				}
				program.Zcp(t, "send", "--verify", program.Source(t, content), addr).Run(tc.status).Says(tc.want)
			})
		}
	}
}

// A receipt that comes too late, and a receiver that is busy for ever, are waited for as long as was said;
// one that comes further and further is waited for beyond --linger.
func TestVerifyWaits(t *testing.T) {
	t.Parallel()
	const content = "payload"
	good := "zcp1 done bytes=7 sha256=" + sha256Of([]byte(content)) + "\n"
	const step = 100 * time.Millisecond
	for name, tc := range map[string]struct {
		args   string
		busy   func(i int) string // the i-th line; one every step
		last   int                // the line that is the receipt; 0: none
		status int
		want   string
	}{
		"silence":  {"--linger 0.3", nil, 0, 4, "sent no receipt"},
		"busy":     {"--idle 1 --linger 1", func(int) string { return "zcp1 busy verify=1\n" }, 0, 4, "busy for 1.0s without coming any further"},
		"no flag":  {"--idle 1 --linger 1", func(int) string { return "zcp1 busy to=1\n" }, 0, 5, "busy for 1.0s without coming any further"},
		"progress": {"--linger 1 --idle 5", func(i int) string { return fmt.Sprintf("zcp1 busy verify=0 bytes=%d\n", i+1) }, 15, 0, verified},
		"noise":    {"--linger 0.5", func(int) string { return "still here\n" }, 0, 4, "sent no receipt"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			addr := program.Target(t, "tcp", func(c net.Conn) {
				_, _ = io.Copy(io.Discard, c)
				for i := 0; tc.busy != nil && (tc.last == 0 || i < tc.last); i++ {
					if _, err := io.WriteString(c, tc.busy(i)); err != nil {
						return
					}
					time.Sleep(step) // the receiver's own pace
				}
				if tc.last > 0 {
					_, _ = io.WriteString(c, good)
					c.Close()
				}
			})
			args := append([]string{"send"}, strings.Fields(tc.args)...)
			if name != "no flag" {
				args = append(args, "--verify")
			}
			program.Zcp(t, append(args, program.Source(t, content), addr)...).Run(tc.status).Says(tc.want)
		})
	}
}

// A sender that goes before it has its receipt does not make the receiver fail: what it has is stored.
func TestReceiptUnread(t *testing.T) {
	dst := filepath.Join(t.TempDir(), "out")
	r := program.Zcp(t, "recv", "--verify", ":0", dst).Start()
	c := program.Dial(t, r)
	program.Write(t, c, []byte("payload"))
	c.Close()
	r.Ends(0)
	program.Holds(t, dst, []byte("payload"))
}

// A broken connection is not a missing receipt.
func TestVerifyReset(t *testing.T) {
	p, c := program.MeetPeer(t, program.Mode{}, "send", "--verify", program.Source(t, "payload"))
	program.ReadN(t, c, 7)
	program.Reset(t, c)
	p.Ends(3)
}

// The file is opened for reading only where it is read back.
func TestVerifyAccess(t *testing.T) {
	for _, verify := range []bool{false, true} {
		dst := filepath.Join(t.TempDir(), "out")
		args := []string{"recv", ":0", dst}
		if verify {
			args = append(args, "--verify")
		}
		r := program.Zcp(t, args...).Start()
		c := program.Dial(t, r)
		program.Write(t, c, []byte("x"))
		program.AwaitSize(t, dst+".part", 1)
		fds, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", r.Process.Pid))
		if err != nil {
			t.Fatal(err)
		}
		for _, fd := range fds {
			if to, _ := os.Readlink(fd); to == dst+".part" {
				fi, err := os.Lstat(fd)
				if err != nil || (fi.Mode().Perm()&0o400 != 0) != verify {
					t.Errorf("verify %v: %v, %v", verify, fi.Mode(), err)
				}
			}
		}
		c.Close()
		r.Ends(0)
	}
}

func TestVerifyUsage(t *testing.T) {
	program.Zcp(t, "cat", "--verify", "f").Run(2).Says("--hash prints the digest")
	for _, args := range [][]string{{"relay", "--verify", ":0", "a:1"}, {"recv", "--expect", strings.Repeat("0", 64), ":0", "dir/"}} {
		program.Zcp(t, args...).Run(2)
	}
}

// The receipt is one line that nc, ncat and socat print, and they send none.
func TestVerifyPeers(t *testing.T) {
	data := program.Noise(1_000_003, 3)
	receipt := "zcp1 done bytes=1000003 sha256=" + sha256Of(data) + "\n"
	for name, tc := range map[string]struct{ zcp, other string }{
		"push/nc":     {"send --verify IN 127.0.0.1:PORT", "nc -l -N 127.0.0.1 PORT > OUT"},
		"push/ncat":   {"send --verify IN 127.0.0.1:PORT", "ncat -l --recv-only 127.0.0.1 PORT > OUT"},
		"push/socat":  {"send --verify IN 127.0.0.1:PORT", "socat -u TCP-LISTEN:PORT,bind=127.0.0.1,reuseaddr OPEN:OUT,creat"},
		"serve/nc":    {"send --verify IN :0", "nc -N 127.0.0.1 PORT > OUT"},
		"serve/ncat":  {"send --verify IN :0", "ncat --recv-only 127.0.0.1 PORT > OUT"},
		"serve/socat": {"send --verify IN :0", "socat -u TCP:127.0.0.1:PORT OPEN:OUT,creat"},
		"wait/nc":     {"recv --verify :0 OUT", "nc -N 127.0.0.1 PORT < IN"},
		"wait/ncat":   {"recv --verify :0 OUT", "ncat 127.0.0.1 PORT < IN"},
		"wait/socat":  {"recv --verify :0 OUT", "socat - TCP:127.0.0.1:PORT < IN"},
		"pull/nc":     {"recv --verify 127.0.0.1:PORT OUT", "nc -N -l 127.0.0.1 PORT < IN"},
		"pull/ncat":   {"recv --verify 127.0.0.1:PORT OUT", "ncat -l 127.0.0.1 PORT < IN"},
		"pull/socat":  {"recv --verify 127.0.0.1:PORT OUT", "socat TCP-LISTEN:PORT,bind=127.0.0.1,reuseaddr - < IN"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			role, peer, _ := strings.Cut(name, "/")
			program.NeedTool(t, peer)
			dir := t.TempDir()
			in, out, port := filepath.Join(dir, "in"), filepath.Join(dir, "out"), fmt.Sprint(program.FreePort())
			program.WriteFile(t, in, data, 0o644)
			fill := func(s string) string {
				return strings.NewReplacer("IN", in, "OUT", out, "PORT", port, "LISTEN", "LISTEN").Replace(s)
			}
			args := strings.Fields(fill(tc.zcp))
			if strings.Contains(tc.zcp, "PORT") {
				args = append(args, "--retry-for", "1m")
			}
			p := program.Zcp(t, args...).Start()
			if !strings.Contains(tc.zcp, "PORT") {
				port = p.Port()
			}
			o := program.Command(t, "sh", "-c", fill(tc.other)).Start()
			if role == "push" || role == "serve" {
				p.Ends(4).Says("the receiver sent no receipt")
				o.Ends(0)
			} else {
				p.Ends(0).Says(receiptSent)
				o.Ends(0)
				if got := o.Out.String(); got != receipt && peer != "socat" {
					t.Errorf("%s printed %q", peer, got)
				}
			}
			program.Holds(t, out, data)
		})
	}
}
