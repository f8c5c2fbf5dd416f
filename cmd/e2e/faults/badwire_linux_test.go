package faults

import (
	"errors"
	"math/rand/v2"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"
)

// A badWire joins the two hosts of a cable and loses, doubles and delays packets. The test itself
// carries them, from a tun device of the one to one of the other: few kernels have netem.
type badWire struct {
	lost, doubled, late atomic.Int64
}

// badWire plugs one in.
func (c *cable) badWire(seed uint64) *badWire {
	c.t.Helper()
	a, b := tunIn(c.t, c.a), tunIn(c.t, c.b)
	c.plugIn()
	w := new(badWire)
	var wg sync.WaitGroup
	wg.Go(func() { w.carry(b, a, rand.New(rand.NewPCG(seed, 1))) })
	wg.Go(func() { w.carry(a, b, rand.New(rand.NewPCG(seed, 2))) })
	c.t.Cleanup(func() {
		a.Close()
		b.Close()
		wg.Wait()
	})
	return w
}

// carry takes packets from one host to the other until one of them is gone: one in fifty
// is lost, one in fifty comes twice, one in fifty after the next.
func (w *badWire) carry(to, from *os.File, r *rand.Rand) {
	var kept []byte
	for b := make([]byte, 64<<10); ; {
		n, err := from.Read(b)
		if err != nil {
			return
		}
		packets := [][]byte{b[:n]}
		switch r.IntN(50) {
		case 0:
			w.lost.Add(1)
			packets = nil
		case 1:
			w.doubled.Add(1)
			packets = append(packets, b[:n])
		case 2:
			if kept == nil {
				w.late.Add(1)
				kept, packets = append([]byte(nil), b[:n]...), nil
			}
		}
		if len(packets) > 0 && kept != nil {
			packets, kept = append(packets, kept), nil
		}
		for _, p := range packets {
			if _, err := to.Write(p); errors.Is(err, os.ErrClosed) {
				return // any other error is a packet lost
			}
		}
	}
}

// tunIn makes the device "wire" in a network namespace and returns its other side.
func tunIn(t testing.TB, ns string) *os.File {
	t.Helper()
	fd, err := openTun(t, ns)
	if err != nil {
		t.Skipf("NOT TESTED: a tun device in a network namespace: %v", err)
	}
	return os.NewFile(uintptr(fd), "tun") // non-blocking, so that Close ends a Read
}

// openTun makes the device.
func openTun(t testing.TB, ns string) (fd int, err error) {
	err = inside(t, ns, func() error {
		var err error
		if fd, err = unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0); err != nil {
			return err
		}
		wire, err := unix.NewIfreq("wire")
		if err == nil {
			wire.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
			err = unix.IoctlIfreq(fd, unix.TUNSETIFF, wire)
		}
		if err != nil {
			unix.Close(fd)
		}
		return err
	})
	return fd, err
}

// inside calls f on a thread that is in a network namespace: what it opens stays there. The thread is not
// thrown away afterwards: what it has started before would die with it (Pdeathsig).
func inside(t testing.TB, ns string, f func() error) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	home, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		return err
	}
	defer home.Close()
	away, err := os.Open("/run/netns/" + ns)
	if err != nil {
		return err
	}
	defer away.Close()
	if err := unix.Setns(int(away.Fd()), unix.CLONE_NEWNET); err != nil {
		return err
	}
	defer func() {
		if err := unix.Setns(int(home.Fd()), unix.CLONE_NEWNET); err != nil {
			runtime.LockOSThread() // once more: no other goroutine may run on this thread
			t.Error(err)
		}
	}()
	return f()
}
