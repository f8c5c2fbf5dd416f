package pipepool

import (
	"os"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// becomeUnprivileged gives up root for a user who has no other pipes.
func becomeUnprivileged(t *testing.T) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("SKIPPED: only root can become a user with an untouched budget of pipes")
	}
	if err := syscall.Setuid(2_000_000 + os.Getpid()); err != nil {
		t.Fatal(err)
	}
}

// held is what a pool's figures say of its pipes. How many are smaller than was asked for
// is left out: a user without privileges shares one budget with all that he runs, tests of
// other packages too.
func held(pl *Pool) Stats {
	s := pl.Stats()
	s.Smaller = 0
	return s
}

// needBudget skips what needs whole pipes where others have used the user's budget up.
func needBudget(t *testing.T, pl *Pool) {
	t.Helper()
	if pl.Stats().Smaller > 0 && !privileged(t) {
		t.Skip("SKIPPED: others use all the pipes that this user is granted")
	}
}

// privileged tells whether the kernel grants pipes beyond the budget (pipe(7)).
func privileged(t *testing.T) bool {
	t.Helper()
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var sets [2]unix.CapUserData
	if err := unix.Capget(&header, &sets[0]); err != nil {
		t.Fatal(err)
	}
	return sets[0].Effective&(1<<unix.CAP_SYS_RESOURCE|1<<unix.CAP_SYS_ADMIN) != 0
}

func TestBudgetOfAnUnprivilegedUser(t *testing.T) {
	if !inChild(t) {
		return
	}
	becomeUnprivileged(t)
	var pl Pool
	defer pl.CloseIdle()
	pipes := lend(t, &pl, 200)
	full, small := 0, 0
	for _, p := range pipes {
		truth, err := unix.FcntlInt(uintptr(p.W()), unix.F_GETPIPE_SZ, 0)
		if err != nil || p.Cap() != truth {
			t.Errorf("Cap %d, the kernel says %d (%v)", p.Cap(), truth, err)
		}
		if p.Cap() == DefaultSize {
			full++
		} else {
			small++
		}
	}
	// pipe-user-pages-soft is 16384 pages unless the machine says otherwise: 64 pipes.
	if full == 0 || small == 0 {
		t.Fatalf("%d pipes of 1 MiB and %d smaller ones", full, small)
	}
	if s := pl.Stats(); s.Smaller != int64(small) || s.Refused != 0 || s.InUse != 200 {
		t.Errorf("%d smaller pipes: %+v", small, s)
	}

	last := pipes[len(pipes)-1]
	pl.Put(last)
	if p := get(t, &pl); p != last || p.Cap() == DefaultSize {
		t.Errorf("a pipe grew beyond the budget: %d", p.Cap())
	}
	// The others go, and the budget with them is free again.
	for _, p := range pipes[:len(pipes)-1] {
		p.Len = 1
		pl.Put(p)
	}
	eventually(t, "a small pipe grown when there is room", func() bool {
		pl.Put(last)
		return get(t, &pl) == last && last.Cap() == DefaultSize
	})
	if truth, err := unix.FcntlInt(uintptr(last.W()), unix.F_GETPIPE_SZ, 0); err != nil || truth != DefaultSize {
		t.Errorf("the kernel says %d (%v)", truth, err)
	}
	if s := pl.Stats(); s.Open != 1 || s.Capacity != DefaultSize {
		t.Errorf("%+v", s)
	}
	// What a grown pipe leaves behind when it is dropped is counted at its new size.
	pipes, last = nil, nil
	eventually(t, "the dropped pipe closed", func() bool { return pl.Stats().Open == 0 })
	if s := pl.Stats(); s.Capacity != 0 {
		t.Errorf("%+v", s)
	}
}

func TestSizeBeyondTheLimitOfOnePipe(t *testing.T) {
	if !inChild(t) {
		return
	}
	becomeUnprivileged(t)
	pl := Pool{Size: 16 << 20}
	p := get(t, &pl)
	if p.Cap() >= pl.Size || p.Cap() <= 16*unix.Getpagesize() {
		t.Errorf("Cap %d: not the most that an unprivileged user is granted", p.Cap())
	}
	if s := pl.Stats(); s.Smaller != 1 || s.Refused != 0 {
		t.Errorf("%+v", s)
	}
	pl.Put(p)
	pl.CloseIdle()
}
