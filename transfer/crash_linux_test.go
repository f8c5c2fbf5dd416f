package transfer_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/zcp-go/zcp/transfer"
	"github.com/zcp-go/zcp/transfer/internal/bed"
)

// crashEnv is ADDRESS WHAT for a process that TestCrash kills.
const crashEnv = "TRANSFER_TEST_CRASH"

const crashBytes = 100000

func init() {
	if address, what, ok := strings.Cut(os.Getenv(crashEnv), " "); ok {
		fmt.Fprintln(os.Stderr, crash(address, what))
		os.Exit(3)
	}
}

// crash connects, moves what there is to move, says so, and waits until it is told to panic.
func crash(address, what string) error {
	ctx := context.Background()
	c, err := new(transfer.Dialer).Dial(ctx, "tcp", address)
	if err != nil {
		return err
	}
	src, err := transfer.Inherit(0)
	if err != nil {
		return err
	}
	dst := c.Endpoint
	if strings.HasPrefix(what, "receiver") {
		fd, err := unix.Open(os.DevNull, unix.O_WRONLY, 0)
		if err != nil {
			return err
		}
		src = c.Endpoint
		if dst, err = transfer.NewEndpoint(fd); err != nil {
			return err
		}
	}
	var t transfer.Transfer
	if _, err := t.Move(ctx, dst, src, crashBytes); err != nil {
		return err
	}
	os.Stdout.WriteString("moved")
	os.Stdin.Read(make([]byte, 1))
	panic("as a bug does")
}

// TestCrash kills a process of ours with everything moved and nothing said: to the other
// side that is a reset after the data, never an end of file. A Unix socket has no such word.
func TestCrash(t *testing.T) {
	for _, what := range []string{"sender", "sender that panics", "receiver", "receiver that panics"} {
		t.Run(what, func(t *testing.T) {
			l := bed.Must(transfer.Listen(bedContext(t), "tcp", "127.0.0.1:0"))(t)
			defer l.Close()
			cmd := exec.Command(bed.Must(os.Executable())(t))
			cmd.Env = append(os.Environ(), crashEnv+"="+l.Addr().String()+" "+what)
			in := bed.Must(cmd.StdinPipe())(t)
			out := bed.Must(cmd.StdoutPipe())(t)
			bed.MustDo(t, cmd.Start())
			defer cmd.Wait()
			c := bed.Must(l.Accept(bedContext(t)))(t)
			defer c.Close()
			data := bed.Noise(crashBytes, 30)
			die := func() {
				bed.Must(io.ReadFull(out, make([]byte, 5)))(t)
				if strings.HasSuffix(what, "panics") {
					in.Close()
				} else {
					bed.MustDo(t, cmd.Process.Kill())
				}
			}
			var err error
			if strings.HasPrefix(what, "sender") {
				go in.Write(data)
				to, r, _ := farSink(newPipe)(t)
				d := bed.DrainAll(r, crashBytes, nil)
				var tr transfer.Transfer
				done := moving(bedContext(t), &tr, to, c.Endpoint, -1)
				bed.Until(t, "all bytes", func() bool { return d.N.Load() == crashBytes })
				die()
				o := <-done
				if err = o.err; o.n != crashBytes {
					t.Errorf("%d bytes moved", o.n)
				}
			} else {
				tr := transfer.Transfer{Discard: true}
				src, _ := fileSource(t, data)
				_, err = tr.Move(bedContext(t), c.Endpoint, src, -1)
				die()
				if err == nil {
					_, err = tr.Finish(bedContext(t), c, bed.Patience)
				}
			}
			var e *transfer.Error
			if !errors.As(err, &e) || e.Err != unix.ECONNRESET {
				t.Errorf("the other side hears %v, want ECONNRESET", err)
			}
		})
	}
}

// TestInheritedConn breaks off and ends connections that others hold as well.
func TestInheritedConn(t *testing.T) {
	had := unix.Linger{Onoff: 1, Linger: 7}
	for _, c := range []struct {
		name            string
		shared, orderly bool
		armed           bool
		peer            error // what the peer reads while the others go on holding the socket
	}{
		{"broken off", false, false, true, unix.ECONNRESET},
		{"orderly", false, true, true, io.EOF},
		{"standard input broken off", true, false, false, os.ErrDeadlineExceeded},
	} {
		t.Run(c.name, func(t *testing.T) {
			fd, other := newTCP(t)
			peer := far(t, other)
			defer unix.Close(fd)
			bed.MustDo(t, unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &had))
			flags := bed.Must(unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0))(t)
			conn := bed.Must(transfer.Inherited(fd, c.shared))(t)
			if g := bed.Must(transfer.Linger(fd))(t); (g == unix.Linger{Onoff: 1}) != c.armed {
				t.Errorf("SO_LINGER %v", g)
			}
			if c.orderly {
				bed.MustDo(t, conn.CloseGracefully())
			} else {
				bed.MustDo(t, conn.Close())
			}
			if g := bed.Must(transfer.Linger(fd))(t); g != had {
				t.Errorf("SO_LINGER %v afterwards, was %v", g, had)
			}
			if now := bed.Must(unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0))(t); now != flags {
				t.Errorf("flags %#x afterwards, were %#x", now, flags)
			}
			if now := bed.Must(unix.GetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY))(t); now != 0 {
				t.Error("TCP_NODELAY was set on a socket that others hold")
			}
			if c.peer == os.ErrDeadlineExceeded { // nothing happened to the connection
				bed.Must(peer.Write([]byte("x")))(t)
				bed.Must(unix.Read(fd, make([]byte, 1)))(t)
				return
			}
			if n, err := peer.Read(make([]byte, 1)); n != 0 || !errors.Is(err, c.peer) {
				t.Errorf("the peer reads %d, %v, want %v", n, err, c.peer)
			}
		})
	}
}

// TestInheritListener serves on a socket that others hold, and leaves it as it was.
func TestInheritListener(t *testing.T) {
	for _, network := range []string{"tcp", "unix"} {
		address := "127.0.0.1:0"
		if network == "unix" {
			address = t.TempDir() + "/s"
		}
		ln := closed(t, bed.Must(net.Listen(network, address))(t))
		f := closed(t, bed.Must(ln.(interface{ File() (*os.File, error) }).File())(t))
		fd := int(f.Fd()) // which makes it block, as an inherited one does
		if !transfer.Listening(fd) {
			t.Error("it does not listen")
		}
		l := bed.Must(transfer.InheritListener(fd))(t)
		c := dial(t, network, ln.Addr().String())
		bed.Must(l.Accept(bedContext(t)))(t).Close()
		c.Close()
		bed.MustDo(t, l.Close())
		if flags := bed.Must(unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0))(t); flags&unix.O_NONBLOCK != 0 {
			t.Error("it blocks no more")
		}
		dial(t, network, ln.Addr().String()).Close() // it listens on, and a socket file is still there
	}
}
