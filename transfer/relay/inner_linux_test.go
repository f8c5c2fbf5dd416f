package relay

import (
	"context"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/zcp-go/zcp/transfer/internal/bed"
)

// TestBudget asks for all sorts of numbers of connections: each has its two descriptors,
// and however many were asked for there are pipes.
func TestBudget(t *testing.T) {
	free := descriptorLimit() - lowestFree()
	_, normal := budget(0, 2, 1)
	for _, asked := range []int{0, 1, 10, normal, free/2 - 100, free, 1 << 30} {
		pipes, most := budget(asked, 2, 1)
		if asked > 0 && asked <= normal && most != asked || most < 1 || most < min(asked, normal) {
			t.Errorf("%d of %d connections", most, asked)
		}
		if pipes < free/30 || 2*(pipes+most) > free {
			t.Errorf("%d connections and %d pipes of %d descriptors", most, pipes, free)
		}
	}
}

// TestTimers puts links in, moves and drops them as chance will have it, next to a sorted list.
func TestTimers(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	var heap timers
	links := make([]link, 60)
	due := map[*link]int64{}
	for now := int64(1); now < 20000; now++ {
		k := &links[r.IntN(len(links))]
		switch r.IntN(3) {
		case 0, 1:
			at := now + r.Int64N(100)
			heap.set(k, at)
			due[k] = at
		case 2:
			heap.drop(k)
			delete(due, k)
		}
		first := int64(0)
		for _, at := range due {
			first = sooner(first, at)
		}
		if got := heap.next(); got != first || len(heap) != len(due) {
			t.Fatalf("next is %d of %d, want %d of %d", got, len(heap), first, len(due))
		}
		var out []int64
		for k := heap.due(now); k != nil; k = heap.due(now) {
			out = append(out, due[k])
			delete(due, k)
		}
		if !slices.IsSorted(out) || len(out) > 0 && out[len(out)-1] > now || first > now && len(out) > 0 {
			t.Fatalf("at %d came %v", now, out)
		}
	}
}

// TestKeep: a loop gives its processor up at once while a name is looked up, and else after as long as it was told.
func TestKeep(t *testing.T) {
	var r Relay
	expect := func(what string, want time.Duration) {
		t.Helper()
		if got := r.keep(); got != want {
			t.Errorf("%s: %v, want %v", what, got, want)
		}
	}
	expect("in a program", briefWait)
	r.Alone = true
	expect("alone", aloneWait)
	looking, found := make(chan struct{}), make(chan struct{})
	r.lookUp = func(context.Context) ([]netip.AddrPort, error) {
		close(looking)
		<-found
		return nil, nil
	}
	r.lookups.ctx = t.Context()
	told := make(chan struct{})
	r.find(r.lookups.name("ip", "name"), func([]netip.AddrPort, error) { close(told) })
	<-looking
	expect("while a name is looked up", 0)
	close(found)
	<-told
	bed.Until(t, "the lookup to end", func() bool { return r.lookups.running.Load() == 0 }) // behind the answer
	expect("after it", aloneWait)
}

// TestPollers asks both pollers the same about pairs of sockets in every state.
func TestPollers(t *testing.T) {
	for name, open := range map[string]func() (poller, error){"epoll": newPoller, "poll": newPollSet} {
		t.Run(name, func(t *testing.T) {
			p, err := open()
			if err != nil {
				t.Fatal(err)
			}
			defer p.close()
			told := func(d time.Duration) map[token]uint32 {
				n, err := p.wait(d, briefWait)
				if err != nil {
					t.Fatal(err)
				}
				m := map[token]uint32{}
				for i := range n {
					events, who := p.event(i)
					m[who] = events
				}
				return m
			}
			expect := func(what string, want map[token]uint32) {
				t.Helper()
				got := told(0)
				for who, events := range want {
					if got[who]&events != events {
						t.Errorf("%s: told %x of %v, want %x", what, got[who], who, events)
					}
				}
				if len(got) != len(want) {
					t.Errorf("%s: told %v, want %v", what, got, want)
				}
			}
			a, b, who := pairOf(t), pairOf(t), []token{{7, 1}, {8, 3}}
			do := func(err error) {
				t.Helper()
				if err != nil {
					t.Fatal(err)
				}
			}
			do(p.add(a[0], pollIn, who[0]))
			do(p.add(b[0], 0, who[1]))
			expect("sock.Silence", nil)
			write(t, a[1])
			write(t, b[1])
			expect("bytes for both, one asked", map[token]uint32{who[0]: pollIn})
			expect("as before: a level", map[token]uint32{who[0]: pollIn})
			do(p.ask(b[0], pollIn|pollOut, who[1]))
			do(p.ask(a[0], 0, who[0]))
			expect("the other asked", map[token]uint32{who[1]: pollIn | pollOut})
			do(p.ask(b[0], 0, who[1]))
			unix.Close(a[1])
			expect("a parked one hangs up", map[token]uint32{who[0]: pollHup})
			expect("and is told of once", nil)
			do(p.remove(b[0]))
			unix.Close(b[1])
			expect("one that is not watched hangs up", nil)
			p.closing(a[0])
			unix.Close(a[0])
			go p.wake()
			if m := told(-1); len(m) != 1 || m[wakeToken] == 0 {
				t.Errorf("woken with %v", m)
			}
			expect("woken once", nil)
			for range 3 { // it is rung while the loop does not wait
				p.wake()
			}
			if m := told(-1); len(m) != 1 {
				t.Errorf("woken with %v", m)
			}
			if began := time.Now(); len(told(3*time.Millisecond)) != 0 || time.Since(began) < 3*time.Millisecond {
				t.Error("the wait was too short")
			}
		})
	}
}

func pairOf(t *testing.T) [2]int {
	p, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func write(t *testing.T, fd int) {
	if _, err := unix.Write(fd, []byte("x")); err != nil {
		t.Fatal(err)
	}
}
