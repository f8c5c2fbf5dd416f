package faults

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/zcp-go/zcp/cmd/e2e/program"
)

// A file of sysfs says that it has 4096 bytes and has six: nothing became shorter, in any command.
func TestSizeOfSysfs(t *testing.T) {
	const name = "/sys/class/net/lo/mtu"
	want, err := os.ReadFile(name)
	if err != nil {
		t.Skip("NOT TESTED: ", err)
	}
	out := filepath.Join(t.TempDir(), "out")
	program.InModes(t, func(t *testing.T, m program.Mode) {
		if p := m.Zcp(t, "cat", name).Run(0); p.Out.String() != string(want) {
			t.Errorf("cat: %q", p.Out)
		}
		out := filepath.Join(t.TempDir(), "out")
		m.Zcp(t, "cat", name, "-o", out).Run(0)
		program.Holds(t, out, want)
		r := m.Zcp(t, "recv", "-l", "127.0.0.1:0", out).Start()
		m.Zcp(t, "send", name, "127.0.0.1:"+r.Port()).Run(0)
		r.Ends(0)
		program.Holds(t, out, want)
	})
	in, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	program.Zcp(t, "cat", "-o", out).From(in).Run(0)
	program.Holds(t, out, want)
	program.Zcp(t, "cat", "-f", "-n", name).Run(0).Says(fmt.Sprintf(`(?m)^%d$`, len(want)))
}

// A kernel without IPv6: what is to listen everywhere listens on IPv4 and says so, localhost works, and -6 is an error.
func TestWithoutIPv6(t *testing.T) {
	without := func(args ...string) *program.Process {
		return program.Zcp(t, args...).With(program.RefuseVariable + "=EAFNOSUPPORT:AF_INET6")
	}
	out := filepath.Join(t.TempDir(), "out")
	r := without("recv", ":0", out).Start()
	r.Says(`listening on 0\.0\.0\.0:`)
	without("send", program.Source(t, "hello"), "localhost:"+r.Port()).Run(0)
	r.Ends(0)
	program.Holds(t, out, []byte("hello"))
	without("relay", "--exit-idle", "0.1", "--stats", ":0", ":0", "localhost:9").Run(0)
	without("recv", "-6", "-w", "1", ":0", out).Run(1)
}

// Without a name server localhost is known and any other name is an error in words; one that is silent is waited for
// as long as -w says, also for a name to listen on.
func TestWithoutNameServer(t *testing.T) {
	t.Parallel() // it waits for what never answers
	program.NeedRoot(t)
	program.NeedTool(t, "mount", "ip", "socat")
	zcp, in := static(t), program.Source(t, "hello")
	on := func(script string, args ...string) *program.Process {
		p := program.Command(t, "/bin/sh", append([]string{"-c", `mount --make-rprivate / && mount -t tmpfs none /etc && ip link set lo up && ` + script, zcp}, args...)...)
		p.SysProcAttr.Unshareflags = unix.CLONE_NEWNS | unix.CLONE_NEWNET
		return p
	}
	alone := `exec "$0" "$@"`
	on(alone, "send", in, "localhost:9").Run(1).Says(`^zcp: localhost:9: connection refused`)
	if said := on(alone, "send", in, "host.example:9").Run(1).ErrOut.String(); strings.Contains(said, "udp") || strings.Contains(said, "::1") {
		t.Errorf("no server: %s", said)
	}
	silent := `echo nameserver 127.0.0.10 > /etc/resolv.conf
		socat -u UDP-RECV:53,bind=127.0.0.10 /dev/null & until grep -q 0A00007F:0035 /proc/net/udp; do :; done
		"$0" "$@"; status=$?; kill $!; exit $status`
	for _, args := range [][]string{{"send", "-w", "0.5", in, "host.example:9"}, {"recv", "-w", "0.5", "-l", "host.example:9", in + "2"}} {
		on(silent, args...).Run(5).Says(`name|look`)
	}
}

// A relay with ten source ports to give out has ten connections to each target, resets the next, and serves again when one is free.
func TestPortsForEachTarget(t *testing.T) {
	const ports = 10
	c := newHosts(t)
	c.ip("-n", c.a, "link", "set", "lo", "up")
	served := make(chan *net.TCPConn, 100)
	if err := inside(t, c.a, func() error {
		for _, host := range []string{"127.0.0.1", "127.0.0.2"} {
			ln, err := net.Listen("tcp", host+":8080")
			if err != nil {
				return err
			}
			t.Cleanup(func() { ln.Close() })
			go func() {
				for {
					s, err := ln.Accept()
					if err != nil {
						return
					}
					_, _ = s.Write([]byte("x")) // a peer that is gone is the test's to notice
					served <- s.(*net.TCPConn)
				}
			}()
		}
		return os.WriteFile("/proc/sys/net/ipv4/ip_local_port_range", []byte(fmt.Sprintf("40000 %d", 40000+ports-1)), 0)
	}); err != nil {
		t.Fatal(err)
	}
	from := 20000
	works := func(relay int) (ok bool) {
		from++
		err := inside(t, c.a, func() error {
			d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 9), Port: from}, Timeout: program.GuardTime}
			nc, err := d.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", 800+relay))
			if errors.Is(err, unix.ECONNRESET) {
				return nil
			}
			if err != nil {
				return err
			}
			t.Cleanup(func() { nc.Close() })
			_ = nc.SetDeadline(time.Now().Add(program.GuardTime)) // fails only on a closed connection
			_, err = nc.Read(make([]byte, 1))
			ok = err == nil
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return ok
	}
	for i := 1; i <= 2; i++ {
		c.on(c.a, program.Mode{}, "relay", "--bind=127.0.0.1", "-w", "2", fmt.Sprintf("127.0.0.1:%d", 800+i), fmt.Sprintf("127.0.0.%d:8080", i)).Start().Says(`listening`)
		for n := range ports {
			if !works(i) {
				t.Errorf("target %d: connection %d of %d was not served", i, n+1, ports)
			}
		}
	}
	if works(1) {
		t.Error("one more connection than ports")
	}
	program.Reset(t, <-served)
	program.WaitFor(t, "a port that is free again", func() bool { return works(1) })
}

// A source that is overwritten while it is sent is status 6 also where statx(2) is refused, or -v says that it is not watched.
func TestChangedWithoutStatx(t *testing.T) {
	old := program.Noise(16<<20, 12)
	for _, errno := range []string{"EPERM", "ENOSYS"} {
		program.InModes(t, func(t *testing.T, m program.Mode) {
			if len(m.Env) > 0 {
				return // it has a refusal of its own
			}
			file := filepath.Join(t.TempDir(), "in")
			program.WriteFile(t, file, old, 0o644)
			m.Env = []string{program.RefuseVariable + "=" + errno + ":statx"}
			p, c := program.MeetPeer(t, m, "send", file)
			program.ReadN(t, c, 1<<20)
			program.Asleep(t, p.Process.Pid)
			f, err := os.OpenFile(file, os.O_WRONLY, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			if _, err := f.WriteAt(bytes.Repeat([]byte{'B'}, 1000), int64(len(old)-1000)); err != nil {
				t.Fatal(err)
			}
			_, err = c.WriteTo(new(bytes.Buffer))
			c.Close()
			if p.Ends(6); err != nil {
				t.Error(err)
			}
		})
	}
}

// A round trip on each file system that can be had here.
func TestFileSystems(t *testing.T) {
	t.Parallel() // mounts wait
	program.NeedRoot(t)
	content := append(program.Noise(30_000, 13), make([]byte, 20_000)...)
	for i, name := range []string{"tmpfs", "ext2", "ext4", "xfs", "btrfs"} {
		t.Run(name, func(t *testing.T) {
			disk := mounted(t, name)
			program.InEveryOtherMode(t, i, func(t *testing.T, m program.Mode) {
				dir, err := os.MkdirTemp(disk, "")
				if err != nil {
					t.Fatal(err)
				}
				in, out := filepath.Join(dir, "in"), filepath.Join(dir, "out")
				program.WriteFile(t, in, content, 0o644)
				m.Zcp(t, "cat", in, "-o", out).Run(0)
				program.Holds(t, out, content)
				for _, flag := range []string{"--sync", "--no-clobber", "-a"} {
					if flag == "--no-clobber" {
						if err := os.Remove(out); err != nil {
							t.Fatal(err)
						}
					}
					r := m.Zcp(t, "recv", flag, "-l", "127.0.0.1:0", out).Start()
					m.Zcp(t, "send", in, "127.0.0.1:"+r.Port()).Run(0)
					r.Ends(0)
				}
				program.Holds(t, out, append(append([]byte{}, content...), content...))
			})
		})
	}
}

// A producer that writes its last block and is gone at once: data and hang-up come together, and nothing is lost.
func TestLastBlock(t *testing.T) {
	content := program.Noise(70_001, 14)
	rounds := 3
	if program.All() {
		rounds = 10
	}
	for range rounds {
		r, w := program.Pipe(t)
		p := program.Zcp(t, "cat").From(r).Start()
		r.Close()
		program.Write(t, w, content)
		w.Close()
		if p.Ends(0); p.Out.String() != string(content) {
			t.Errorf("pipe: %d bytes", len(p.Out.String()))
		}
		for _, end := range []string{"127.0.0.1:0", "unix:" + filepath.Join(t.TempDir(), "s")} {
			p := program.Zcp(t, "recv", "-l", end).Start()
			network, addr := "tcp", p.Says(`listening on (\S+)\n`)[1]
			if path, ok := strings.CutPrefix(addr, "unix:"); ok {
				network, addr = "unix", path
			}
			c, err := net.Dial(network, addr)
			if err != nil {
				t.Fatal(err)
			}
			program.Write(t, c, content)
			c.Close()
			if p.Ends(0); p.Out.String() != string(content) {
				t.Errorf("%s: %d bytes", network, len(p.Out.String()))
			}
		}
	}
}
