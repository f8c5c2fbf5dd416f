package e2e

import (
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/zcp-go/zcp/cmd/e2e/program"
)

// links starts n machines that receive to a file and pass on to the next, and returns the address of the
// first. The last passes on to end.
func links(t *testing.T, n int, end string, flags ...string) (addr string, files []string, rs []*program.Process) {
	t.Helper()
	addr = end
	for i := range n {
		name := filepath.Join(t.TempDir(), fmt.Sprint("link", n-i))
		r := program.Zcp(t, append([]string{"recv", "-q", ":0", name, "--to", addr}, flags...)...).Start()
		addr, files, rs = "127.0.0.1:"+r.Port(), append([]string{name}, files...), append([]*program.Process{r}, rs...)
	}
	return addr, files, rs
}

// A chain of five: identical everywhere, and 0 at the head only after the last has stored, however short --linger is.
func TestChain(t *testing.T) {
	t.Parallel()
	content := program.Noise(16<<20, 51)
	name := filepath.Join(t.TempDir(), "in")
	program.WriteFile(t, name, content, 0o644)
	got, mayClose := make(chan string, 1), make(chan struct{})
	closes := sync.OnceFunc(func() { close(mayClose) })
	t.Cleanup(closes)
	last := program.Target(t, "tcp", func(c net.Conn) {
		b, _ := io.ReadAll(c)
		got <- string(b)
		<-mayClose
		c.Close()
	})
	addr, files, rs := links(t, 4, last)
	p := program.Zcp(t, "send", "--linger", "0.01", name, addr).Start()
	over := make(chan struct{})
	go func() { p.End(); close(over) }()
	select {
	case all := <-got:
		if all != string(content) {
			t.Errorf("the last got %d bytes, and something else", len(all))
		}
	case <-over:
		t.Errorf("the head ended with %d before the last had anything: %s", p.Status, p.ErrOut)
		for i, r := range rs {
			t.Errorf("link %d: ended %v: %s", i, r.HasEnded(), r.ErrOut)
		}
		return
	}
	for _, file := range files { // each is there before the last has closed
		program.AwaitSize(t, file, int64(len(content)))
		program.Holds(t, file, content)
	}
	program.Asleep(t, p.Process.Pid)
	for i, r := range append(rs, p) {
		if r.HasEnded() {
			t.Errorf("%d ended before the last has closed:\n%s", i, r.ErrOut)
		}
	}
	closes()
	p.Ends(0)
	for _, r := range rs {
		r.Ends(0)
	}
}

// nc is the last link; it ends its own direction at once, which counts when all is acknowledged, and is said.
func TestChainToNC(t *testing.T) {
	program.NeedTool(t, "nc")
	content := program.Noise(1<<20, 52)
	dir := t.TempDir()
	port := fmt.Sprint(program.FreePort())
	nc := program.Command(t, "sh", "-c", `exec nc -l -N 127.0.0.1 "$0" > "$1"`, port, filepath.Join(dir, "nc")).From(nil).Start()
	awaitListener(t, port)
	r := program.Zcp(t, "recv", ":0", filepath.Join(dir, "out"), "--to", "127.0.0.1:"+port).Start()
	program.Zcp(t, "send", program.Source(t, string(content)), "127.0.0.1:"+r.Port()).Run(0)
	nc.Ends(0)
	if r.Ends(0); !strings.Contains(r.ErrOut.String(), ", passed on to 127.0.0.1:"+port) || !strings.Contains(r.ErrOut.String(), "closed its side early") {
		t.Errorf("said %q", r.ErrOut)
	}
	program.Holds(t, filepath.Join(dir, "out"), content)
	program.Holds(t, filepath.Join(dir, "nc"), content)
}

// A next that reads nothing does not slow the first down: its file is complete meanwhile.
func TestChainSlowNext(t *testing.T) {
	t.Parallel()
	content := program.Noise(24<<20, 53)
	ln, _ := program.Listening(t)
	addr, files, rs := links(t, 1, ln.Addr().String())
	p := program.Zcp(t, "send", "--linger", "0.01", program.Source(t, string(content)), addr).Start()
	c, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	program.AwaitSize(t, files[0], int64(len(content)))
	program.Holds(t, files[0], content)
	program.Stalled(t, rs[0].Process.Pid)
	if p.HasEnded() || rs[0].HasEnded() {
		t.Errorf("ended before the next has it:\n%s%s", p.ErrOut, rs[0].ErrOut)
	}
	if b, err := io.ReadAll(c); err != nil || string(b) != string(content) {
		t.Errorf("the next read %d bytes, %v", len(b), err)
	}
	c.Close()
	p.Ends(0)
	rs[0].Ends(0)
}

// A next that refuses, resets, or is silent for --idle: the file is kept and named, and the sender sees a reset.
func TestChainBrokenNext(t *testing.T) {
	t.Parallel()
	content := program.Noise(24<<20, 54)
	name := program.Source(t, string(content))
	for what, next := range map[string]string{
		"connection refused": fmt.Sprint("127.0.0.1:", program.FreePort()),
		"connection reset by peer after": program.Target(t, "tcp", func(c net.Conn) {
			_, _ = io.CopyN(io.Discard, c, 1<<20)
			program.Reset(t, c.(*net.TCPConn))
		}),
		"has not closed for --idle": program.Target(t, "tcp", func(c net.Conn) {
			t.Cleanup(func() { c.Close() }) // or the collector closes it
			_, _ = io.Copy(io.Discard, c)
		}),
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			addr, files, rs := links(t, 2, next, "--idle", "1")
			p := program.Zcp(t, "send", name, addr).Run(3)
			for i, r := range rs {
				r.Ends(3)
				program.Holds(t, files[i], content)
			}
			if said := rs[1].ErrOut.String(); !strings.Contains(said, "link2 is complete, but not passed on: "+next) || !strings.Contains(said, what) {
				t.Errorf("the last link said %q", said)
			}
			if !strings.Contains(p.ErrOut.String(), "connection reset by peer after 24.0MiB") {
				t.Errorf("the head said %q", p.ErrOut)
			}
		})
	}
}

// What was not received whole, or is not what was expected, has no end for the next.
func TestChainIncomplete(t *testing.T) {
	for what, flags := range map[string][]string{"reset": nil, "short": {"-s", "10"}, "expect": {"--expect", strings.Repeat("0", 64)}} {
		t.Run(what, func(t *testing.T) {
			ln, _ := program.Listening(t)
			name := filepath.Join(t.TempDir(), "out")
			r := program.Zcp(t, append([]string{"recv", ":0", name, "--to", ln.Addr().String()}, flags...)...).Start()
			c := program.Dial(t, r)
			program.Write(t, c, []byte("part"))
			next, err := ln.Accept()
			if err != nil {
				t.Fatal(err)
			}
			program.ReadN(t, next, 4)
			status := 3
			switch what {
			case "reset":
				program.Reset(t, c)
			case "expect":
				status = 4
				c.CloseWrite()
			default:
				c.CloseWrite()
			}
			program.WantReset(t, next)
			r.Ends(status)
			program.Absent(t, name)
		})
	}
}

// With --verify the receipt at the head speaks for all.
func TestChainVerified(t *testing.T) {
	content := program.Noise(3<<20, 55)
	last := filepath.Join(t.TempDir(), "last")
	end := program.Zcp(t, "recv", "--verify", ":0", last).Start()
	addr, files, rs := links(t, 2, "127.0.0.1:"+end.Port(), "--verify")
	p := program.Zcp(t, "send", "--verify", program.Source(t, string(content)), addr).Run(0)
	if !strings.Contains(p.ErrOut.String(), ", verified, by 3 machines\n") {
		t.Errorf("the head said %q", p.ErrOut)
	}
	end.Ends(0)
	for i, r := range rs {
		r.Ends(0)
		program.Holds(t, files[i], content)
	}
	program.Holds(t, last, content)

	// A last link without a receipt is 4 for the one before it, and not 0 for the head.
	plain := program.Zcp(t, "recv", ":0", last).Start()
	addr, _, rs = links(t, 1, "127.0.0.1:"+plain.Port(), "--verify")
	program.Zcp(t, "send", "--verify", program.Source(t, string(content)), addr).Run(3)
	rs[0].Ends(4)
	plain.Ends(0) // it did what it was asked to
}

// Several receivers are verified each, from a file and from a pipe.
func TestFanoutVerified(t *testing.T) {
	content := program.Noise(3<<20, 56)
	name := program.Source(t, string(content))
	for _, source := range []string{name, "-"} {
		var addrs []string
		var rs []*program.Process
		for _, flags := range [][]string{{"--verify"}, {"--verify"}, nil} {
			r := program.Zcp(t, append([]string{"recv", "-q", ":0", filepath.Join(t.TempDir(), "out")}, flags...)...).Start()
			addrs, rs = append(addrs, "127.0.0.1:"+r.Port()), append(rs, r)
		}
		p := program.Zcp(t, append([]string{"send", "--verify", source}, to(addrs...)...)...)
		if source == "-" {
			p.From(throughPipe(t, strings.NewReader(string(content))))
		}
		p.Run(4)
		rs[0].Ends(0)
		rs[1].Ends(0)
		rs[2].Ends(0)
		if !strings.Contains(p.ErrOut.String(), "2 of 3 targets have it; not "+addrs[2]+": the receiver sent no receipt") {
			t.Errorf("said %q", p.ErrOut)
		}
	}
}

// With -a what is appended is passed on, and nothing that was there before.
func TestChainAppend(t *testing.T) {
	name := filepath.Join(t.TempDir(), "out")
	program.WriteFile(t, name, []byte("before"), 0o644)
	got := make(chan string, 1)
	next := program.Target(t, "tcp", func(c net.Conn) {
		b, _ := io.ReadAll(c)
		got <- string(b)
		c.Close()
	})
	r := program.Zcp(t, "recv", "-a", ":0", name, "--to", next).Start()
	program.Zcp(t, "send", program.Source(t, "after"), "127.0.0.1:"+r.Port()).Run(0)
	r.Ends(0)
	program.Holds(t, name, []byte("beforeafter"))
	if g := <-got; g != "after" {
		t.Errorf("the next got %q", g)
	}
	fifo := filepath.Join(t.TempDir(), "dev")
	if err := os.Symlink("/dev/null", fifo); err != nil {
		t.Fatal(err)
	}
	if p := program.Zcp(t, "recv", ":0", fifo, "--to", next).Run(2); !strings.Contains(p.ErrOut.String(), "only a regular file can be passed on") {
		t.Errorf("said %q", p.ErrOut)
	}
}

// A tree is unpacked, and its stream passed on as it came. To the next a broken sender does not look like an end.
func TestChainTree(t *testing.T) {
	dir := t.TempDir()
	body := program.Noise(2<<20, 57)
	program.WriteFile(t, filepath.Join(dir, "a"), body, 0o640)
	tar := program.Zcp(t, "cat", dir+"/").Run(0)
	stream := tar.Out.String()
	got := make(chan string, 1)
	next := program.Target(t, "tcp", func(c net.Conn) {
		b, _ := io.ReadAll(c)
		got <- string(b)
		c.Close()
	})
	out := filepath.Join(t.TempDir(), "out")
	middle := program.Zcp(t, "recv", ":0", out+"/", "--to", next).Start()
	first := program.Zcp(t, "recv", ":0", out+"1/", "--to", "127.0.0.1:"+middle.Port()).Start()
	program.Zcp(t, "send", dir+"/", "127.0.0.1:"+first.Port()).Run(0)
	middle.Ends(0)
	first.Ends(0)
	if g := <-got; g != stream {
		t.Errorf("the last got %d bytes, not the %d that were sent", len(g), len(stream))
	}
	program.Holds(t, filepath.Join(out, "a"), body)
	program.Holds(t, filepath.Join(out+"1", "a"), body)

	ln, _ := program.Listening(t)
	r := program.Zcp(t, "recv", ":0", out+"2/", "--to", ln.Addr().String()).Start()
	c := program.Dial(t, r)
	program.Write(t, c, []byte(stream[:1<<20]))
	last, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	program.ReadN(t, last, 1<<19)
	program.Reset(t, c)
	program.WantReset(t, last)
	if r.Ends(3); !strings.Contains(r.ErrOut.String(), "connection reset by peer") {
		t.Errorf("said %q", r.ErrOut)
	}
	program.Absent(t, out+"2")

	// A next that fails does not end the first: it has its tree, and the sender sees a reset.
	r = program.Zcp(t, "recv", ":0", out+"3/", "--to", fmt.Sprint("127.0.0.1:", program.FreePort())).Start()
	program.Zcp(t, "send", dir+"/", "127.0.0.1:"+r.Port()).Run(3)
	if r.Ends(3); !strings.Contains(r.ErrOut.String(), "is complete, but not passed on: ") {
		t.Errorf("said %q", r.ErrOut)
	}
	program.Holds(t, filepath.Join(out+"3", "a"), body)
}

// BenchmarkChain compares a chain of four with one copy; from page cache to page cache, all on one machine, so the processors
// are what they share: floor-ms is the processor time of all machines of the chain over the number of processors, which no
// chain can be faster than. The processor time of a middle is the difference from 1 to 2.
func BenchmarkChain(b *testing.B) {
	const size = 256 << 20
	dir := b.TempDir()
	name := filepath.Join(dir, "in")
	program.WriteFile(b, name, program.Noise(size, 58), 0o644)
	for _, n := range []int{1, 2, 4} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			b.SetBytes(size)
			var used time.Duration
			for b.Loop() {
				b.StopTimer()
				addr := ""
				var all []*program.Process
				for i := range n {
					args := []string{"recv", "-q", ":0", filepath.Join(dir, fmt.Sprint("out", i))}
					if addr != "" {
						args = append(args, "--to", addr)
					}
					r := program.Zcp(b, args...).Start()
					addr, all = "127.0.0.1:"+r.Port(), append(all, r)
				}
				b.StartTimer()
				all = append(all, program.Zcp(b, "send", "-q", name, addr).Start())
				for _, p := range all {
					used += p.Ends(0).ProcessorTime()
				}
			}
			b.ReportMetric(used.Seconds()/float64(b.N)/size*1e9, "cpu-s/GB")
			b.ReportMetric(float64(used.Milliseconds())/float64(b.N)/float64(runtime.NumCPU()), "floor-ms")
		})
	}
}
