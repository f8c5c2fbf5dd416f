package relay

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"

	"github.com/zcp-go/zcp/transfer/internal/sock"
)

// budget shares out the descriptors that are left: two for each connection, and pipes for a
// quarter of the connections, which is what HAProxy plans with; a few stay for lookups. Who
// asks for more connections gets as many as leave a tenth for pipes.
func budget(asked, loops, held int) (pipes, most int) {
	const poller = 2
	free := descriptorLimit() - lowestFree() - mostLookups*eachLookup - (poller+held)*loops
	most = free * 2 / 5
	if asked > 0 {
		most = min(asked, free*9/20)
	}
	most = max(1, most)
	return max(0, (free-2*most)/2), most
}

// descriptorLimit returns how many descriptors the process may have, after raising the
// soft limit to the hard one.
func descriptorLimit() int {
	var lim unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &lim); err != nil {
		return 1024
	}
	if lim.Cur < lim.Max {
		raised := unix.Rlimit{Cur: lim.Max, Max: lim.Max}
		if unix.Setrlimit(unix.RLIMIT_NOFILE, &raised) == nil {
			lim = raised
		}
	}
	return int(min(lim.Cur, 1<<30))
}

// lowestFree returns the lowest descriptor that is free, about as many as are open.
func lowestFree() int {
	fd, err := unix.FcntlInt(0, unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return 16
	}
	unix.Close(fd)
	return fd
}

// forTarget returns how many descriptors it takes to reach a target.
func (r *Relay) forTarget() int {
	if r.target.host != "" {
		return 1 + eachLookup
	}
	return 1
}

// reserveFDs takes descriptors that are for nothing, so that a client that was accepted can
// have its target even when the others have run out.
func reserveFDs(n int) (fds []int, err error) {
	for range n {
		fd, err := unix.Open(os.DevNull, unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			closeFDs(fds)
			return nil, os.NewSyscallError("open", err)
		}
		fds = append(fds, fd)
	}
	return fds, nil
}

// fdsFree tells why n descriptors are not to be had.
func fdsFree(n int) error {
	fds, err := reserveFDs(n)
	closeFDs(fds)
	return err
}

func closeFDs(fds []int) {
	for _, fd := range fds {
		unix.Close(fd)
	}
}

// releaseReserve lets those be used who need descriptors, and tells whether there were any.
func (l *loop) releaseReserve() bool {
	had := len(l.reserved) > 0
	closeFDs(l.reserved)
	l.reserved = nil
	return had
}

// socket opens a socket for a target, with a descriptor held back if there is no other.
func (l *loop) socket(family int) (int, error) {
	fd, err := sock.Stream(family)
	if (errors.Is(err, unix.EMFILE) || errors.Is(err, unix.ENFILE)) && l.releaseReserve() {
		l.starve(err) // until as many can be held back again
		fd, err = sock.Stream(family)
	}
	return fd, err
}

// passes tells whether an error will pass by itself, while nothing tells when: the backlog
// of a Unix socket is full, or the descriptors have run out.
func passes(err error) bool {
	return errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EMFILE) || errors.Is(err, unix.ENFILE)
}

// backOff puts off what passes by itself, each time for longer: there may be thousands.
func (k *link) backOff(err error) {
	l := k.loop
	d := k.dial
	if !errors.Is(err, unix.EAGAIN) && !d.withoutFD {
		d.withoutFD = true
		l.r.dialsWithoutFD.Add(1)
	}
	d.backoff = min(max(2*d.backoff, minBackoff), maxBackoff)
	k.putOff(d.backoff)
}

// hasFD is called when a link has the descriptors it needs, or needs none any more.
func (l *loop) hasFD(d *dialing) {
	if d.withoutFD {
		d.withoutFD = false
		l.r.dialsWithoutFD.Add(-1)
	}
}
