package transfer_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"golang.org/x/sys/unix"

	"github.com/zcp-go/zcp/transfer"
	"github.com/zcp-go/zcp/transfer/internal/bed"
	"github.com/zcp-go/zcp/transfer/rate"
)

// connected is what Dial returns, and the far end of it.
func connected(t *testing.T) (*transfer.Conn, *net.TCPConn) {
	t.Helper()
	ln := closed(t, bed.Must(net.Listen("tcp", "127.0.0.1:0"))(t))
	c := closed(t, bed.Must(new(transfer.Dialer).Dial(bedContext(t), "tcp", ln.Addr().String()))(t))
	return c, closed(t, bed.Must(ln.Accept())(t)).(*net.TCPConn)
}

// TestSend sends from everything that is a reader; the far end sees an orderly end.
func TestSend(t *testing.T) {
	data := bed.Noise(600001, 40)
	sources := map[string]struct {
		open  func(t *testing.T) io.Reader
		state transfer.SourceState
	}{
		"a file":   {func(t *testing.T) io.Reader { return closed(t, bed.Must(os.Open(fileWith(t, data)))(t)) }, transfer.Unchanged},
		"a buffer": {func(t *testing.T) io.Reader { return bytes.NewReader(data) }, transfer.NotWatched},
		"a reader with its end beside the last bytes": {func(t *testing.T) io.Reader { return iotest.DataErrReader(bytes.NewReader(data)) }, transfer.NotWatched},
		"a pipe": {func(t *testing.T) io.Reader {
			r, w, err := os.Pipe()
			bed.MustDo(t, err)
			go func() { w.Write(data); w.Close() }()
			return closed(t, r)
		}, transfer.NotWatched},
	}
	for name, src := range sources {
		t.Run(name, func(t *testing.T) {
			c, far := connected(t)
			got := bed.DrainAll(far, len(data), nil)
			go func() { got.Wait(); io.Copy(io.Discard, far); far.Close() }()
			r, err := transfer.Send(bedContext(t), c, src.open(t))
			if err != nil || r != (transfer.Report{Bytes: int64(len(data)), Delivery: transfer.PeerClosed, Source: src.state}) {
				t.Errorf("%+v, %v", r, err)
			}
			if b, err := got.Wait(); !bytes.Equal(b, data) {
				t.Errorf("%d bytes arrived that are not those, %v", len(b), err)
			}
		})
	}
}

// TestSendBreaks: without the whole of it, or with a peer that breaks off, the error says so, and
// the peer never sees an orderly end.
func TestSendBreaks(t *testing.T) {
	why := errors.New("the reader's own")
	c, far := connected(t)
	r, err := transfer.Send(bedContext(t), c, io.MultiReader(strings.NewReader("some"), iotest.ErrReader(why)))
	if e, ok := errors.AsType[*transfer.Error](err); !ok || e.Side != transfer.Source || !errors.Is(err, why) || r.Bytes != 4 {
		t.Errorf("%+v, %v", r, err)
	}
	if _, err := io.Copy(io.Discard, far); !errors.Is(err, unix.ECONNRESET) {
		t.Errorf("the peer saw %v", err)
	}

	c, far = connected(t)
	bed.MustDo(t, far.SetLinger(0))
	far.Close()
	if _, err := transfer.Send(bedContext(t), c, bytes.NewReader(bed.Noise(1<<20, 1))); !transfer.IsReset(err) {
		t.Errorf("a reset is %v", err)
	}
}

// TestSendChanged: a file that is written while it is sent is not what was to be sent.
func TestSendChanged(t *testing.T) {
	name := fileWith(t, bed.Noise(8<<20, 2))
	f := closed(t, bed.Must(os.Open(name))(t))
	writer := closed(t, bed.Must(os.OpenFile(name, os.O_RDWR, 0))(t)) // before it is sent: no lease
	c, far := connected(t)
	sent := make(chan error, 1)
	go func() {
		_, err := transfer.Send(bedContext(t), c, f)
		sent <- err
	}()
	bed.Must(io.ReadFull(far, make([]byte, 1000)))(t)
	bed.Must(writer.WriteAt([]byte("changed"), 8<<20-100))(t)
	bed.Must(io.Copy(io.Discard, far))(t)
	far.Close()
	if err := <-sent; err != transfer.ErrChanged {
		t.Errorf("sent: %v", err)
	}
}

// TestCopyOfReaders: what is not a descriptor is copied by its own methods, with counts and limits.
func TestCopyOfReaders(t *testing.T) {
	data := bed.Noise(600001, 41)
	var b bytes.Buffer
	tr := transfer.Transfer{Limits: []*rate.Limiter{{Rate: 1 << 40}}}
	n, err := tr.Copy(bedContext(t), &b, bytes.NewReader(data))
	if n != int64(len(data)) || err != nil || !bytes.Equal(b.Bytes(), data) || tr.Stats.Bytes.Load() != n {
		t.Errorf("memory to memory: %d, %v, %d counted", n, err, tr.Stats.Bytes.Load())
	}
	f := closed(t, bed.Must(os.Open(fileWith(t, data)))(t))
	b.Reset()
	limited := &io.LimitedReader{R: f, N: 300000}
	if n, err := transfer.Copy(bedContext(t), &b, limited); n != 300000 || err != nil || limited.N != 0 || !bytes.Equal(b.Bytes(), data[:n]) {
		t.Errorf("a limited file to memory: %d, %v, %d left", n, err, limited.N)
	}
	c, far := connected(t)
	limited = &io.LimitedReader{R: f, N: 100}
	got := bed.DrainAll(far, 104, nil)
	tr = transfer.Transfer{}
	if n, err := tr.Copy(bedContext(t), c, limited); n != 100 || err != nil || limited.N != 0 {
		t.Errorf("a limited file to a Conn: %d, %v", n, err)
	}
	if kernel, memory := wrote(&tr); kernel != 100 || memory != 0 {
		t.Errorf("%d bytes by the kernel's paths, %d through memory", kernel, memory)
	}
	fmt.Fprint(c, "more")
	if b, err := got.Wait(); err != nil || !bytes.Equal(b, append(data[300000:300100:300100], "more"...)) {
		t.Errorf("%q, %v", b, err)
	}
	fmt.Fprint(far, "answer")
	far.CloseWrite()
	b.Reset()
	if n, err := transfer.Copy(bedContext(t), &b, c); n != 6 || err != nil || b.String() != "answer" {
		t.Errorf("a Conn to memory: %q, %v", b.String(), err)
	}
	short := errors.New("short")
	if _, err := transfer.Copy(bedContext(t), failing{short}, strings.NewReader("x")); !errors.Is(err, short) {
		t.Errorf("an error of the Writer is %v", err)
	}
	ctx, cancel := context.WithCancelCause(bedContext(t))
	cancel(short)
	if n, err := transfer.Copy(ctx, &b, strings.NewReader("x")); n != 0 || err != short {
		t.Errorf("cancelled: %d, %v", n, err)
	}
}

type failing struct{ error }

func (f failing) Write([]byte) (int, error) { return 0, f.error }

// TestConnIsADescriptor: RawConn's waits end when the other side writes.
func TestConnIsADescriptor(t *testing.T) {
	c, far := connected(t)
	rc := bed.Must(c.SyscallConn())(t)
	b, calls := make([]byte, 8), 0
	bed.MustDo(t, rc.Read(func(fd uintptr) bool {
		if calls++; calls == 1 {
			fmt.Fprint(far, "hello")
			return false
		}
		n, err := unix.Read(int(fd), b)
		b = b[:max(n, 0)]
		return err != unix.EAGAIN
	}))
	if string(b) != "hello" || calls < 2 {
		t.Errorf("%q in %d calls", b, calls)
	}
	c.Close()
	if _, err := c.SyscallConn(); err != os.ErrClosed {
		t.Errorf("closed: %v", err)
	}
}

// TestOf takes over what package net has made: what is accepted and taken is armed.
func TestOf(t *testing.T) {
	for _, network := range []string{"tcp", "unix"} {
		address := "127.0.0.1:0"
		if network == "unix" {
			address = filepath.Join(t.TempDir(), "s")
		}
		ln := bed.Must(transfer.ListenerOf(bed.Must(net.Listen(network, address))(t)))(t)
		near := bed.Must(transfer.ConnOf(bed.Must(net.Dial(network, ln.Addr().String()))(t)))(t)
		far := bed.Must(ln.Accept(bedContext(t)))(t)
		fmt.Fprint(near, "x")
		bed.Must(io.ReadFull(far, make([]byte, 1)))(t)
		far.Close()
		_, err := near.Read(make([]byte, 1))
		if want := map[string]error{"tcp": unix.ECONNRESET, "unix": io.EOF}[network]; !errors.Is(err, want) {
			t.Errorf("%s: the other side saw %v", network, err)
		}
		near.Close()
		bed.MustDo(t, ln.Close())
		if _, err := os.Lstat(address); network == "unix" && !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the socket file: %v", err)
		}
	}
	a, b := net.Pipe()
	defer b.Close()
	if _, err := transfer.ConnOf(a); err == nil {
		t.Error("net.Pipe is taken for a socket")
	}
}

// TestNames: what people print has a name.
func TestNames(t *testing.T) {
	if got := fmt.Sprint(transfer.PeerOpenUncounted, ", ", transfer.Changed, ", ", transfer.LeaseLost); got != "the peer stayed open, acknowledgements unseen, changed, lease lost" {
		t.Error(got)
	}
}

// Send is what `zcp send` promises: every byte is acknowledged and the receiver has closed in order.
func ExampleSend() {
	ctx := context.Background()
	ln, err := transfer.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	defer ln.Close()
	go func() {
		conn, err := ln.Accept(ctx)
		if err != nil {
			panic(err)
		}
		defer conn.Close() // a reset, where this is left before the orderly end
		if _, err := transfer.Copy(ctx, io.Discard, conn); err == nil {
			err = conn.CloseGracefully()
		}
		if err != nil {
			panic(err)
		}
	}()

	d := transfer.Dialer{Wait: 10 * time.Second}
	conn, err := d.Dial(ctx, "tcp", ln.Addr().String())
	if err != nil {
		panic(err)
	}
	file, err := os.Open("testdata/hello")
	if err != nil {
		panic(err)
	}
	defer file.Close()
	report, err := transfer.Send(ctx, conn, file)
	fmt.Println(report.Bytes, "bytes,", report.Delivery, "and the source is", report.Source, err)
	// Output: 6 bytes, the peer closed and the source is unchanged <nil>
}
