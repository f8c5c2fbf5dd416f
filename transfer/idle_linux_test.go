package transfer_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/zcp-go/zcp/transfer"
	"github.com/zcp-go/zcp/transfer/internal/bed"
)

// TestIdle gives up on a peer that reads nothing, in the middle and at the end.
func TestIdle(t *testing.T) {
	for _, network := range []string{"tcp", "unix"} {
		for _, size := range []int{150000, 8 << 20} {
			conn, p := meet(t, network)
			smallReceiver(t, p, conn)
			tr := transfer.Transfer{Idle: 100 * time.Millisecond, Discard: true}
			src, _ := fileSource(t, bed.Noise(size, 7))
			ctx := bedContext(t)
			n, err := tr.Move(ctx, conn.Endpoint, src, -1)
			if (size == 8<<20) != errors.Is(err, transfer.ErrIdle) {
				t.Errorf("%s: %d of %d moved, %v", network, n, size, err)
			}
			if err == nil {
				_, err = tr.Finish(ctx, conn, time.Nanosecond)
			}
			if !errors.Is(err, transfer.ErrIdle) {
				t.Errorf("%s: %d bytes: %v, want ErrIdle", network, size, err)
			}
			conn.Close()
		}
	}
}

// TestIdleSource gives up on a source that is silent, but not while bytes come.
func TestIdleSource(t *testing.T) {
	pr, pw := newPipe(t)
	from, w := own(t, pr), far(t, pw)
	to, r, _ := farSink(newPipe)(t)
	const idle = 500 * time.Millisecond
	tr := transfer.Transfer{Idle: idle}
	done := moving(bedContext(t), &tr, to, from, -1)
	d := bed.DrainAll(r, -1, nil)
	began := time.Now()
	for n := int64(1); time.Since(began) < 2*idle; n++ { // longer than the limit, never silent for so long
		bed.Must(w.Write([]byte{byte(n)}))(t)
		bed.Until(t, "a byte", func() bool { return d.N.Load() == n })
		time.Sleep(idle / 10)
	}
	if len(done) > 0 {
		t.Fatal("given up although bytes came:", <-done)
	}
	if o := <-done; !errors.Is(o.err, transfer.ErrIdle) {
		t.Error("got", o.err)
	}
}

// TestEchoDoesNotStall sends more than all buffers hold to a peer that answers every byte.
func TestEchoDoesNotStall(t *testing.T) {
	for _, network := range []string{"tcp", "unix"} {
		conn, p := meet(t, network)
		go func() { _, _ = io.Copy(p, p); p.Close() }()
		tr := transfer.Transfer{Discard: true}
		src, _ := fileSource(t, bytes.Repeat([]byte("echo"), 8<<20))
		ctx := bedContext(t)
		if n, err := tr.Move(ctx, conn.Endpoint, src, -1); n != 32<<20 || err != nil {
			t.Fatal(network, n, err)
		}
		got, err := tr.Finish(ctx, conn, bed.Patience)
		if got != transfer.PeerClosed || err != nil || tr.Stats.Dropped.Load() != 32<<20 {
			t.Errorf("%s: %v, %v, %d dropped", network, got, err, tr.Stats.Dropped.Load())
		}
	}
}

// TestStoppedReceiver sends to a process that is stopped: not an error by itself, but Idle ends it.
func TestStoppedReceiver(t *testing.T) {
	l := bed.Must(transfer.Listen(bedContext(t), "tcp", "127.0.0.1:0"))(t)
	defer l.Close()
	cmd := exec.Command(bed.Must(os.Executable())(t))
	cmd.Env = append(os.Environ(), crashEnv+"="+l.Addr().String()+" receiver")
	closed(t, bed.Must(cmd.StdinPipe())(t))
	bed.MustDo(t, cmd.Start())
	defer cmd.Wait()
	defer cmd.Process.Kill()
	c := bed.Must(l.Accept(bedContext(t)))(t)
	defer c.Close()
	bed.MustDo(t, cmd.Process.Signal(unix.SIGSTOP))
	src := holeSource(t, 24<<20)
	tr := transfer.Transfer{Discard: true, Idle: 200 * time.Millisecond}
	if n, err := tr.Move(bedContext(t), c.Endpoint, src, -1); !errors.Is(err, transfer.ErrIdle) {
		t.Errorf("%d moved, %v, want ErrIdle", n, err)
	}
	if side, _ := tr.Stats.Waiting(); side != transfer.Neither {
		t.Error("it still says that it waits for the", side)
	}
	if time.Duration(tr.Stats.WaitDst.Load()) < tr.Idle {
		t.Error("the wait for the destination was not counted")
	}
}
