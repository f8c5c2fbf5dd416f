package relay_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/zcp-go/zcp/transfer"
	"github.com/zcp-go/zcp/transfer/internal/bed"
	"github.com/zcp-go/zcp/transfer/relay"
)

// childEnv holds the target of a relay that this test binary is, in a process of its own
// with limits of its own; childFiles holds its limit of descriptors, childMost the most connections.
const (
	childEnv   = "ZCP_TEST_RELAY_TARGET"
	childFiles = "ZCP_TEST_RELAY_FILES"
	childMost  = "ZCP_TEST_RELAY_MOST"
	childSpin  = "ZCP_TEST_RELAY_SPIN" // see relay.Spins
)

// TestRelayChild is not a test: it is the relay that others start. It says where it listens,
// drains when its input ends, and then says what it has seen.
func TestRelayChild(t *testing.T) {
	target := os.Getenv(childEnv)
	if target == "" {
		t.Skip("this is what others start")
	}
	var files uint64
	if _, err := fmt.Sscan(os.Getenv(childFiles), &files); err == nil {
		bed.MustDo(t, unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: files, Max: files}))
	}
	ln := bed.Must(transfer.Listen(context.Background(), "tcp", "127.0.0.1:0"))(t)
	r := &relay.Relay{Network: "tcp", Address: target, OnEvent: func(e relay.Event) {
		if e.Kind == relay.Unreachable || e.Kind == relay.AcceptPaused {
			fmt.Fprintf(os.Stderr, "relay: %+v\n", e)
		}
	}}
	_, _ = fmt.Sscan(os.Getenv(childMost), &r.MaxConns) // 0 where it is not set
	if d, err := time.ParseDuration(os.Getenv(childSpin)); err == nil && d > 0 {
		relay.Spins(d)(r)
	}
	if strings.HasPrefix(target, "@") {
		r.Network = "unix"
	}
	fmt.Println(ln.Addr())
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin) // it ends when the test wants the relay to
		r.Drain(-1)
	}()
	bed.MustDo(t, r.Serve(context.Background(), ln))
	bed.MustDo(t, json.NewEncoder(os.Stdout).Encode(r.Totals()))
	os.Exit(0) // without the test's own last words
}

// A child is a relay in a process of its own.
type child struct {
	t    testing.TB
	cmd  *exec.Cmd
	in   io.Closer
	out  *bufio.Reader
	err  bytes.Buffer // to be read when it has ended
	addr string
}

func startChild(t testing.TB, target string, files, most int, who *syscall.Credential) *child {
	t.Helper()
	// Another user may not read the way to the binary, but follow this link.
	cmd := exec.Command("/proc/self/exe", "-test.run=^TestRelayChild$")
	cmd.Env = append(os.Environ(), childEnv+"="+target)
	if files > 0 {
		cmd.Env = append(cmd.Env, fmt.Sprint(childFiles, "=", files), fmt.Sprint(childMost, "=", most))
	}
	c := &child{t: t, cmd: cmd}
	cmd.Dir, cmd.Stderr = "/", &c.err
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: who}
	in := bed.Must(cmd.StdinPipe())(t)
	out := bed.Must(cmd.StdoutPipe())(t)
	bed.MustDo(t, cmd.Start())
	c.in, c.out = in, bufio.NewReader(out)
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // it has ended, as a rule
		_ = cmd.Wait()
	})
	c.addr = strings.TrimSpace(bed.Must(c.out.ReadString('\n'))(t))
	return c
}

// totals ends the child and returns what it has seen.
func (c *child) totals() (n relay.Totals) {
	c.t.Helper()
	c.in.Close()
	bed.MustDo(c.t, json.NewDecoder(c.out).Decode(&n))
	bed.MustDo(c.t, c.cmd.Wait())
	return n
}

// processorTime returns what the child has used.
func (c *child) processorTime() time.Duration {
	var sum time.Duration
	for _, p := range bed.Must(filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", c.cmd.Process.Pid)))(c.t) {
		var ns int64
		if b, err := os.ReadFile(p); err == nil {
			fmt.Sscan(string(b), &ns)
			sum += time.Duration(ns)
		}
	}
	return sum
}

// echo is a target that sends back what it gets, with an upper limit on bed.Patience.
func echo(t testing.TB) string {
	ln := listenOn(t, "tcp")
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			_ = c.SetDeadline(time.Now().Add(bed.Patience)) // a connection that is gone says so itself
			go func() {
				_, _ = io.Copy(c, c) // the client looks at what comes back
				_ = c.(*net.TCPConn).CloseWrite()
				c.Close()
			}()
		}
	}()
	return ln.Addr().String()
}

// talkTo sends data to an echo, behind what greets says, and compares what comes back, piece by piece.
func talkTo(t testing.TB, addr string, data []byte, greets ...func(testing.TB, net.Conn)) {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Error(err)
		return
	}
	for _, greet := range greets {
		greet(t, c)
	}
	s := newSide(t, c)
	go func() {
		if _, err := s.Conn.Write(data); err != nil {
			t.Error(err)
		}
		_ = c.(*net.TCPConn).CloseWrite() // an error of it is one of the write, too
	}()
	got, piece := 0, make([]byte, 64<<10)
	for err == nil {
		var n int
		n, err = c.Read(piece)
		if !bytes.Equal(piece[:n], data[got:min(got+n, len(data))]) {
			err = fmt.Errorf("other bytes")
		}
		got += n
	}
	if err != io.EOF || got != len(data) {
		t.Errorf("%d bytes of %d came back, %v", got, len(data), err)
	}
	c.Close()
}

// TestRelayFewDescriptors serves many more clients than there are descriptors for, whether
// the relay knows how many it can serve, was asked to serve more, or runs out of them because
// its limit was lowered meanwhile: they wait, and none is refused. The time that they wait costs nothing.
func TestRelayFewDescriptors(t *testing.T) {
	const files, clients = 40, 100
	data := bed.Noise(200000+2*clients, 1)
	for _, tc := range []struct {
		name    string
		limit   int  // of descriptors when it begins; 0: that of this process
		most    int  // connections asked for; 0: none said
		lowered bool // to files, once it runs
	}{
		{name: "few", limit: files}, {name: "more asked for", limit: files, most: 1000}, {name: "lowered", lowered: true},
	} {
		for _, byName := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, by name %v", tc.name, byName), func(t *testing.T) {
				target := echo(t)
				if byName {
					target = "localhost" + target[strings.LastIndexByte(target, ':'):]
				}
				c := startChild(t, target, tc.limit, tc.most, nil)
				talkTo(t, c.addr, data[:1]) // it runs
				if tc.lowered {
					bed.MustDo(t, unix.Prlimit(c.cmd.Process.Pid, unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: files, Max: files}, nil))
				}
				var held []side
				for range 30 { // more than there is room for
					held = append(held, newSide(t, bed.Must(net.Dial("tcp", c.addr))(t)))
				}
				if !(tc.lowered && byName) { // then some are let in for whom there is no target before the others end
					held[0].write([]byte("x"))
					held[0].reads([]byte("x"))
				}
				before := c.processorTime()
				time.Sleep(quietFor) // what is measured
				if used := c.processorTime() - before; used > quietFor/4 {
					t.Errorf("%v of processor time in %v with clients that wait", used, quietFor)
				}
				for _, s := range held {
					s.Close()
				}
				var all sync.WaitGroup
				for i := range clients {
					all.Go(func() { talkTo(t, c.addr, data[i:200000+2*i]) })
				}
				all.Wait()
				n := c.totals()
				if n.Open != 0 || n.Unreachable != 0 || n.Broken != 0 && !(tc.lowered && byName) || n.Accepted != clients+31 || n.Closed != n.Accepted {
					t.Errorf("%+v\n%s", n, &c.err)
				}
				if paused := strings.Contains(c.err.String(), "too many open files"); paused != tc.lowered || !paused && n.MaxConns > files/2 {
					t.Errorf("at most %d connections; told: %s", n.MaxConns, &c.err)
				}
			})
		}
	}
}

// TestRelayUnprivileged moves bytes through 200 connections at once for a user whose pipes
// the kernel keeps small after the first 64: everything arrives, if need be through memory.
func TestRelayUnprivileged(t *testing.T) {
	if os.Getuid() != 0 {
		bed.SkipLoudly(t, "only root can become another user")
	}
	const clients, each, nobody = 200, 3 << 19, 65534
	data := bed.Noise(each+clients, 1) // of which each client sends another part
	c := startChild(t, slowEcho(t, clients), 0, 0, &syscall.Credential{Uid: nobody, Gid: nobody})
	var all sync.WaitGroup
	for i := range clients {
		all.Go(func() { talkTo(t, c.addr, data[i:each+i]) })
	}
	all.Wait()
	if n := c.totals(); n.Open != 0 || n.Closed != clients || n.Broken != 0 || n.Up != clients*each || n.Down != n.Up || n.NoPipe == 0 {
		t.Errorf("%+v", n)
	}
}

// slowEcho is an echo that reads only when all its clients are there and everything on the
// way is full, so that every pipe that is to be had is taken. A Unix socket takes little by itself.
func slowEcho(t testing.TB, clients int) string {
	ln := bed.Must(net.Listen("unix", fmt.Sprintf("@zcp-test-%d", os.Getpid())))(t)
	t.Cleanup(func() { ln.Close() })
	go func() {
		var conns []net.Conn
		for range clients {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			conns = append(conns, c)
		}
		time.Sleep(quietFor) // for the pipes to fill up
		for _, c := range conns {
			_ = c.SetDeadline(time.Now().Add(bed.Patience)) // as in echo
			go func() {
				_, _ = io.Copy(c, c) // as in echo
				_ = c.(*net.UnixConn).CloseWrite()
				c.Close()
			}()
		}
	}()
	return ln.Addr().String()
}
