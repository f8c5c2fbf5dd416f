package transfer

import (
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/zcp-go/zcp/pipepool"
	"github.com/zcp-go/zcp/transfer/internal/bed"
)

// hotPump is a pump from /dev/zero or a pipe into /dev/null, which never waits.
func hotPump(t testing.TB, memory bool) (p *Pump, feed func()) {
	t.Helper()
	var fds [2]int
	bed.MustDo(t, unix.Pipe2(fds[:], unix.O_CLOEXEC|unix.O_NONBLOCK))
	null := bed.Must(os.OpenFile(os.DevNull, os.O_WRONLY|unix.O_NONBLOCK, 0))(t)
	t.Cleanup(func() { unix.Close(fds[0]); unix.Close(fds[1]); null.Close() })
	src, dst := bed.Must(NewEndpoint(fds[0]))(t), bed.Must(NewEndpoint(int(null.Fd())))(t)
	c := new(choice)
	c.start(dst, src, -1, memory)
	p = &Pump{Pool: &pipepool.Pool{}, Choose: c, stats: new(Stats)}
	p.Start(dst, src)
	t.Cleanup(func() { p.Stop() })
	page := make([]byte, 4096)
	return p, func() {
		if _, err := unix.Write(fds[1], page); err != nil {
			t.Fatal(err)
		}
	}
}

// TestStepAllocatesNothing steps a pump on each kind of path: what a step allocates is paid
// for by every MiB of a transfer and by every message of a relay.
func TestStepAllocatesNothing(t *testing.T) {
	for name, memory := range map[string]bool{"through a pipe": false, "through memory": true} {
		p, feed := hotPump(t, memory)
		n := testing.AllocsPerRun(200, func() {
			feed()
			if _, err := p.Step(Quantum); err != nil {
				t.Fatal(err)
			}
		})
		if n != 0 {
			t.Errorf("%s: a step allocates %v times", name, n)
		}
		if p.Bytes.Load() == 0 {
			t.Errorf("%s: nothing moved", name)
		}
	}
}
