package transfer_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/zcp-go/zcp/transfer"
	"github.com/zcp-go/zcp/transfer/internal/bed"
)

func prefixes(t testing.TB, texts ...string) (all []netip.Prefix) {
	for _, s := range texts {
		all = append(all, bed.Must(netip.ParsePrefix(s))(t))
	}
	return all
}

// TestGate asks for addresses as accept gives them, IPv4 in its IPv6 form on a dual-stack listener.
func TestGate(t *testing.T) {
	for _, c := range []struct {
		allow, deny []string
		addr        string
		want        bool
	}{
		{nil, nil, "10.1.2.3", true},
		{[]string{"10.0.0.0/8"}, nil, "10.1.2.3", true},
		{[]string{"10.0.0.0/8"}, nil, "::ffff:10.1.2.3", true},
		{[]string{"10.0.0.0/8"}, nil, "11.1.2.3", false},
		{[]string{"10.0.0.0/8"}, nil, "::ffff:11.1.2.3", false},
		{[]string{"10.0.0.0/8"}, []string{"10.1.0.0/16"}, "10.1.2.3", false},
		{[]string{"10.0.0.0/8"}, []string{"10.1.0.0/16"}, "10.2.2.3", true},
		{nil, []string{"10.0.0.0/8"}, "::ffff:10.1.2.3", false},
		{nil, []string{"10.0.0.0/8"}, "fd00::1", true},
		{nil, []string{"::ffff:10.0.0.0/104"}, "10.1.2.3", false},
		{[]string{"::ffff:10.0.0.0/104"}, nil, "::ffff:10.1.2.3", true},
		{[]string{"fe80::/10"}, nil, "fe80::1%lo", true},
		{[]string{"fe80::/10"}, nil, "127.0.0.1", false},
		{[]string{"0.0.0.0/0"}, nil, "::1", false},
		{nil, []string{"::/0"}, "::1", false},
	} {
		g := transfer.Gate{Allow: prefixes(t, c.allow...), Deny: prefixes(t, c.deny...)}
		if got := g.Admits(bed.Must(netip.ParseAddr(c.addr))(t)); got != c.want {
			t.Errorf("allow %v, deny %v: %s admitted %v", c.allow, c.deny, c.addr, got)
		}
	}
}

// TestListenGate listens on both IP versions; whom the gate turns away is reset at once, and the
// next one gets in.
func TestListenGate(t *testing.T) {
	l := bed.Must(transfer.Listen(bedContext(t), "tcp", ":0"))(t)
	defer l.Close()
	var refused []string
	l.Gate.Deny = prefixes(t, "127.0.0.2/32")
	l.Refused = func(peer string) { refused = append(refused, peer) }
	port := netip.MustParseAddrPort(l.Addr().String()).Port()
	v4 := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), port).String()
	from := transfer.Dialer{Bind: "127.0.0.2"}
	bad := bed.Must(from.Dial(bedContext(t), "tcp", v4))(t)
	defer bad.Close()
	good := dial(t, "tcp", v4)
	c := bed.Must(l.Accept(bedContext(t)))(t)
	defer c.Close()
	if c.Remote != good.Local {
		t.Errorf("accepted %s, want %s", c.Remote, good.Local)
	}
	if len(refused) != 1 || netip.MustParseAddrPort(refused[0]).Addr().Unmap().String() != "127.0.0.2" {
		t.Errorf("told of %v", refused)
	}
	_, err := far(t, bed.Must(unix.FcntlInt(uintptr(bad.FD()), unix.F_DUPFD_CLOEXEC, 0))(t)).Read(make([]byte, 1))
	if !errors.Is(err, unix.ECONNRESET) {
		t.Errorf("who was turned away reads %v, want a reset", err)
	}
	six, err := new(transfer.Dialer).Dial(bedContext(t), "tcp6", netip.AddrPortFrom(netip.IPv6Loopback(), port).String())
	if err != nil {
		bed.SkipLoudly(t, "no IPv6: "+err.Error())
	}
	defer six.Close()
	if c := bed.Must(l.Accept(bedContext(t)))(t); c.Remote != six.Local {
		t.Errorf("accepted %s, want %s", c.Remote, six.Local)
	} else {
		c.Close()
	}
}

// TestAcceptIsCancelled ends Accept by its context. The listener serves on.
func TestAcceptIsCancelled(t *testing.T) {
	why := errors.New("because")
	for _, network := range []string{"tcp", "unix"} {
		address := "127.0.0.1:0"
		if network == "unix" {
			address = filepath.Join(t.TempDir(), "s")
		}
		l := bed.Must(transfer.Listen(bedContext(t), network, address))(t)
		for range 3 {
			ctx, cancel := context.WithCancelCause(bedContext(t))
			time.AfterFunc(5*time.Millisecond, func() { cancel(why) })
			if _, err := l.Accept(ctx); err != why {
				t.Errorf("%s: ended with %v, want %v", network, err, why)
			}
			c := dial(t, network, l.Addr().String())
			got, err := l.Accept(bedContext(t))
			if err != nil {
				t.Fatalf("%s: the next Accept: %v", network, err)
			}
			got.Close()
			c.Close()
		}
		l.Close()
		if _, err := l.Accept(bedContext(t)); !errors.Is(err, net.ErrClosed) {
			t.Errorf("%s: Accept on a closed listener: %v", network, err)
		}
	}
}

// TestStaleSocket replaces a socket file only where no process answers on it.
func TestStaleSocket(t *testing.T) {
	leave := func(t *testing.T, path string, typ int) {
		fd := bed.Must(unix.Socket(unix.AF_UNIX, typ|unix.SOCK_CLOEXEC, 0))(t)
		bed.MustDo(t, unix.Bind(fd, &unix.SockaddrUnix{Name: path}))
		bed.MustDo(t, unix.Close(fd))
	}
	for _, c := range []struct {
		name string
		make func(t *testing.T, path string)
		want bool
	}{
		{"nothing", func(*testing.T, string) {}, true},
		{"a dead listener's", func(t *testing.T, path string) { leave(t, path, unix.SOCK_STREAM) }, true},
		{"a dead datagram socket's", func(t *testing.T, path string) { leave(t, path, unix.SOCK_DGRAM) }, true},
		{"a living datagram socket", func(t *testing.T, path string) {
			closed(t, bed.Must(net.ListenPacket("unixgram", path))(t))
		}, false},
		{"a file", func(t *testing.T, path string) { bed.MustDo(t, os.WriteFile(path, []byte("dear"), 0o644)) }, false},
		{"a link to a dead listener's", func(t *testing.T, path string) {
			leave(t, path+".dead", unix.SOCK_STREAM)
			bed.MustDo(t, os.Symlink(path+".dead", path))
		}, false},
		{"a directory", func(t *testing.T, path string) { bed.MustDo(t, os.Mkdir(path, 0o755)) }, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "s")
			c.make(t, path)
			before, _ := os.Lstat(path)
			l, err := transfer.Listen(bedContext(t), "unix", path)
			if (err == nil) != c.want {
				t.Fatalf("Listen: %v", err)
			}
			if err == nil {
				dial(t, "unix", path).Close()
				bed.MustDo(t, l.Close())
				if _, err := os.Lstat(path); !os.IsNotExist(err) {
					t.Error("the socket file stays behind:", err)
				}
			} else if after, err := os.Lstat(path); err != nil || !os.SameFile(before, after) {
				t.Error("what was there is gone:", err)
			}
		})
	}
}

// TestLivingListenerIsLeftAlone tries to listen where another listener does, which must not notice.
func TestLivingListenerIsLeftAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	l := bed.Must(transfer.Listen(bedContext(t), "unix", path))(t)
	defer l.Close()
	if _, err := transfer.Listen(bedContext(t), "unix", path); !errors.Is(err, unix.EADDRINUSE) {
		t.Error("a second listener:", err)
	}
	c := dial(t, "unix", path)
	bed.Must(unix.Write(c.FD(), []byte("mine")))(t)
	got := bed.Must(l.Accept(bedContext(t)))(t)
	defer got.Close()
	c.CloseGracefully()
	b := bed.Must(io.ReadAll(far(t, bed.Must(unix.FcntlInt(uintptr(got.FD()), unix.F_DUPFD_CLOEXEC, 0))(t))))(t)
	if string(b) != "mine" {
		t.Errorf("the first one to be accepted says %q", b)
	}
}

// A listener that closes removes the socket file that it made, and nothing else of that name:
// neither its successor's socket nor a file.
func TestOnlyOwnSocketFileIsRemoved(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	old, err := transfer.Listen(context.Background(), "unix", path)
	if err != nil {
		t.Fatal(err)
	}
	bed.MustDo(t, os.Rename(path, path+".old")) // so that its inode is not used again
	successor, err := transfer.Listen(context.Background(), "unix", path)
	if err != nil {
		t.Fatal(err)
	}
	bed.MustDo(t, old.Close())
	if _, err := os.Lstat(path); err != nil {
		t.Errorf("the successor's socket: %v", err)
	}
	bed.MustDo(t, successor.Close())
	if _, err := os.Lstat(path); !os.IsNotExist(err) {
		t.Errorf("its own socket stays: %v", err)
	}
	plain, err := transfer.ListenPlain(context.Background(), "unix", path)
	if err != nil {
		t.Fatal(err)
	}
	bed.MustDo(t, os.Remove(path))
	bed.MustDo(t, os.WriteFile(path, []byte("data"), 0o644))
	bed.MustDo(t, plain.Close())
	if _, err := os.Lstat(path); err != nil {
		t.Errorf("a file of that name: %v", err)
	}
}
