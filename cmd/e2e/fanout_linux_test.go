package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/zcp-go/zcp/cmd/e2e/program"
)

// delivery is what an event says of one target.
type delivery struct {
	Event  string
	Target string
	Bytes  int64
	Acked  int64
	Status int
	Error  string
}

// deliveries reads the events of a run with --json.
func deliveries(t *testing.T, p *program.Process) (all map[string]delivery, end delivery) {
	t.Helper()
	all = map[string]delivery{}
	for line := range strings.Lines(p.ErrOut.String()) {
		var d delivery
		if err := json.Unmarshal([]byte(line), &d); err != nil {
			t.Errorf("%v in %q", err, line)
		}
		switch d.Event {
		case "delivery":
			if _, twice := all[d.Target]; twice {
				t.Errorf("two deliveries to %s", d.Target)
			}
			all[d.Target] = d
		case "end":
			end = d
		}
	}
	return all, end
}

// receivers starts n times "zcp recv", and returns where they listen and what they write.
func receivers(t *testing.T, n int) (addrs, files []string, rs []*program.Process) {
	t.Helper()
	for i := range n {
		name := filepath.Join(t.TempDir(), fmt.Sprint("out", i))
		r := program.Zcp(t, "recv", "-q", ":0", name).Start()
		addrs, files, rs = append(addrs, "127.0.0.1:"+r.Port()), append(files, name), append(rs, r)
	}
	return addrs, files, rs
}

// to makes the operands and flags of several targets.
func to(addrs ...string) []string {
	args := addrs[:1:1]
	for _, a := range addrs[1:] {
		args = append(args, "--to", a)
	}
	return args
}

// Eight targets: one refuses, one resets half way, one stops reading, one is nc. The others have identical
// files, and every status tells the truth.
func TestFanout(t *testing.T) {
	t.Parallel()
	program.NeedTool(t, "nc")
	const size = 32 << 20 // far more than sockets and pipes take
	content := program.Noise(size, 31)
	name := filepath.Join(t.TempDir(), "in")
	program.WriteFile(t, name, content, 0o644)
	for _, source := range []string{"file", "pipe", "tee refused", "no pipes", "memory"} {
		t.Run(source, func(t *testing.T) {
			t.Parallel()
			addrs, files, rs := receivers(t, 4)
			resets := program.Target(t, "tcp", func(c net.Conn) {
				_, _ = io.CopyN(io.Discard, c, size/2)
				program.Reset(t, c.(*net.TCPConn))
			})
			stops := program.Target(t, "tcp", func(c net.Conn) {
				t.Cleanup(func() { c.Close() }) // or the collector closes it
				_, _ = io.ReadFull(c, make([]byte, 1<<20))
			})
			port, refuses := fmt.Sprint(program.FreePort()), fmt.Sprint("127.0.0.1:", program.FreePort())
			copied := filepath.Join(t.TempDir(), "nc")
			nc := program.Command(t, "sh", "-c", `exec nc -l 127.0.0.1 "$0" > "$1"`, port, copied).From(nil).Start()
			awaitListener(t, port)
			args := []string{"send", "--json", "--idle", "2", name}
			switch source {
			case "pipe", "tee refused", "no pipes", "memory":
				args[4] = "-"
			}
			p := program.Zcp(t, append(args, to(append(slices.Clone(addrs), refuses, resets, stops, "127.0.0.1:"+port)...)...)...)
			switch source {
			case "tee refused":
				p.With(program.RefuseVariable + "=EPERM:tee")
			case "no pipes":
				p.With(program.RefuseVariable + "=EMFILE:pipe2")
			case "memory":
				p.Args = append(p.Args, "-C")
			}
			if args[4] == "-" {
				f, err := os.Open(name)
				if err != nil {
					t.Fatal(err)
				}
				defer f.Close()
				p.From(throughPipe(t, f))
			}
			p.Run(3)
			nc.End()
			for i, r := range rs {
				r.Ends(0)
				program.Holds(t, files[i], content)
			}
			program.Holds(t, copied, content)
			all, end := deliveries(t, p)
			for target, want := range map[string]delivery{addrs[0]: {}, addrs[1]: {}, addrs[2]: {}, addrs[3]: {}, "127.0.0.1:" + port: {},
				refuses: {Status: 1, Error: "connection refused"}, resets: {Status: 3, Error: "connection reset by peer"}, stops: {Status: 5}} {
				got, ok := all[target]
				whole := got.Bytes == size && got.Acked == size
				if !ok || got.Status != want.Status || !strings.Contains(got.Error, want.Error) || whole != (want.Status == 0) {
					t.Errorf("%s: %+v, want %+v", target, got, want)
				}
			}
			if len(all) != 8 || end.Status != 3 || end.Acked != 0 || !strings.Contains(end.Error, "5 of 8 targets have it; not ") {
				t.Errorf("%d deliveries, and the end %+v", len(all), end)
			}
		})
	}
}

// throughPipe makes a pipe from which a file is read.
func throughPipe(t *testing.T, f io.Reader) *os.File {
	t.Helper()
	r, w := program.Pipe(t)
	go func() {
		_, _ = io.Copy(w, f) // a reader that has gone is what some tests want
		w.Close()
	}()
	return r
}

// awaitListener waits until a port of 127.0.0.1 is listened on, without connecting to it.
func awaitListener(t *testing.T, port string) {
	t.Helper()
	var n int
	fmt.Sscan(port, &n)
	program.WaitFor(t, "a listener on "+port, func() bool {
		b, err := os.ReadFile("/proc/net/tcp")
		return err == nil && strings.Contains(string(b), fmt.Sprintf(":%04X 00000000:0000 0A", n))
	})
}

// All targets have it: 0, one summary, and the digest once.
func TestFanoutWell(t *testing.T) {
	content := program.Noise(3<<20, 32)
	name := program.Source(t, string(content))
	for _, source := range []string{name, "-"} {
		addrs, files, rs := receivers(t, 3)
		p := program.Zcp(t, append([]string{"send", "--hash", "sha256", source}, to(addrs...)...)...)
		if source == "-" {
			p.From(throughPipe(t, strings.NewReader(string(content))))
		}
		p.Run(0)
		for i, r := range rs {
			r.Ends(0)
			program.Holds(t, files[i], content)
		}
		said := p.ErrOut.String()
		if strings.Count(said, "sha256 ") != 1 || strings.Count(said, " to 3 targets in ") != 1 || strings.Count(said, "\n") != 2 {
			t.Errorf("said %q", said)
		}
	}
}

// Of a pipe the slowest target sets the pace, and --drop-slow resets it; from a file each has its own.
func TestFanoutSlow(t *testing.T) {
	t.Parallel()
	content := program.Noise(24<<20, 33)
	name := filepath.Join(t.TempDir(), "in")
	program.WriteFile(t, name, content, 0o644)
	for _, source := range []string{"-", name} {
		addrs, files, rs := receivers(t, 2)
		ln, _ := program.Listening(t)
		p := program.Zcp(t, append([]string{"send", "--drop-slow", "0.5", source}, to(append(addrs, ln.Addr().String())...)...)...)
		if source == "-" {
			p.From(throughPipe(t, strings.NewReader(string(content))))
		}
		p.Start()
		c, err := ln.Accept()
		if err != nil {
			t.Fatal(err)
		}
		for i, r := range rs {
			r.Ends(0)
			program.Holds(t, files[i], content)
		}
		if source != "-" { // the slow one gets all in its own time
			p.Signal(unix.SIGUSR1)
			p.Says(`zcp: ` + addrs[0] + `: 24.0MiB \[\S+\] done\n`)
			p.Says(`zcp: ` + ln.Addr().String() + `: \S+ \[\S+\] waiting for the receiver\n`)
			if b, err := io.ReadAll(c); err != nil || string(b) != string(content) {
				t.Errorf("the slow one read %d bytes, %v", len(b), err)
			}
			c.Close()
			p.Ends(0)
			continue
		}
		if p.Ends(3); !strings.Contains(p.ErrOut.String(), "2 of 3 targets have it; not "+ln.Addr().String()+": alone held up all others for 0.50s (--drop-slow)") {
			t.Errorf("said %q", p.ErrOut)
		}
		program.WantReset(t, c)
		c.Close()
	}
}

// A source that fails, a size that is not reached and a signal leave no target with what looks like a whole file.
func TestFanoutBadSource(t *testing.T) {
	for name, tc := range map[string]struct {
		args   []string
		status int
		says   string
	}{
		"short":  {[]string{"send", "-s", "10M", "-"}, 3, "short of --size"},
		"signal": {[]string{"send", "-"}, 143, "terminated after"},
	} {
		t.Run(name, func(t *testing.T) {
			addrs, files, rs := receivers(t, 2)
			r, w := program.Pipe(t)
			p := program.Zcp(t, append(tc.args, to(addrs...)...)...).From(r).Start()
			r.Close()
			program.Write(t, w, []byte("part"))
			program.AwaitSize(t, files[0]+".part", 4)
			if name == "signal" { // its input has no end before it has ended
				p.Signal(unix.SIGTERM)
				p.Ends(tc.status)
			}
			w.Close()
			if p.Ends(tc.status); !strings.Contains(p.ErrOut.String(), tc.says) {
				t.Errorf("said %q", p.ErrOut)
			}
			for i, r := range rs {
				r.Ends(3)
				program.Absent(t, files[i])
			}
		})
	}
}

// A tree is walked for each target.
func TestFanoutTree(t *testing.T) {
	dir := t.TempDir()
	program.WriteFile(t, filepath.Join(dir, "a"), []byte("hello"), 0o640)
	var addrs, outs []string
	var rs []*program.Process
	for range 2 {
		out := filepath.Join(t.TempDir(), "out")
		r := program.Zcp(t, "recv", "-q", ":0", out+"/").Start()
		addrs, outs, rs = append(addrs, "127.0.0.1:"+r.Port()), append(outs, out), append(rs, r)
	}
	program.Zcp(t, append([]string{"send", dir + "/"}, to(addrs...)...)...).Run(0)
	for i, r := range rs {
		r.Ends(0)
		program.Holds(t, filepath.Join(outs[i], "a"), []byte("hello"))
	}
}

// Each target is verified by a receipt of its own, from files and from a stream.
func TestFanoutVerify(t *testing.T) {
	t.Parallel()
	data := program.Noise(1_000_003, 3)
	for _, stream := range []bool{false, true} {
		for _, last := range []string{"verifies", "says nothing"} {
			var args, files []string
			var rs []*program.Process
			for i := range 3 {
				name := filepath.Join(t.TempDir(), "out")
				recv := []string{"recv", ":0", name}
				if i < 2 || last == "verifies" {
					recv = append(recv, "--verify")
				}
				r := program.Zcp(t, recv...).Start()
				rs, files = append(rs, r), append(files, name)
				if i > 0 {
					args = append(args, "--to")
				}
				args = append(args, "127.0.0.1:"+r.Port())
			}
			src := program.Source(t, string(data))
			if stream {
				src = "-"
			}
			s := program.Zcp(t, append([]string{"send", "--verify", src}, args...)...)
			if stream {
				s.From(strings.NewReader(string(data)))
			}
			if last == "verifies" {
				s.Run(0).Says(`, verified\n`)
			} else {
				s.Run(4).Says("2 of 3 targets have it; not 127.0.0.1:\\d+: the receiver sent no receipt")
			}
			for i, r := range rs {
				r.Ends(0)
				program.Holds(t, files[i], data)
			}
		}
	}
}
