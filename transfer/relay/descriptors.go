package relay

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"

	"github.com/zcp-go/zcp/transfer/internal/sock"
)

// budget shares out the descriptors that are left: two for each connection, and pipes for a
// quarter of the connections, which is what HAProxy plans with; a few stay for lookups. A
// larger MaxConns is granted as far as a tenth is left for pipes.
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
	if len(r.lookups.names) > 0 {
		return 1 + eachLookup
	}
	return 1
}

// reserveFDs opens descriptors to hold in reserve, so that an accepted client can have its
// target even when all others are in use.
func reserveFDs(n int) (fds []int, err error) {
	for range n {
		fd, err := unix.Open("/", unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if errors.Is(err, unix.EACCES) { // a root folder that may not be read
			fd, err = sock.Stream(unix.AF_UNIX)
		}
		if err != nil {
			closeFDs(fds)
			return nil, os.NewSyscallError("open", err)
		}
		fds = append(fds, fd)
	}
	return fds, nil
}

// fdsFree returns an error if n descriptors cannot be opened now.
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

// releaseReserve closes the reserve for use by a target, and reports whether there was one.
func (l *loop) releaseReserve() bool {
	had := len(l.reserved) > 0
	closeFDs(l.reserved)
	l.reserved = nil
	return had
}

// socket opens a socket for a target, from the reserve if there is no other descriptor.
func (l *loop) socket(family int) (int, error) {
	fd, err := sock.Stream(family)
	if (errors.Is(err, unix.EMFILE) || errors.Is(err, unix.ENFILE)) && l.releaseReserve() {
		l.starve(err) // until the reserve can be filled again
		fd, err = sock.Stream(family)
	}
	return fd, err
}

// passes reports whether an error will pass by itself at a time that no event reports: the
// backlog of a Unix socket is full (EAGAIN, see queues), or descriptors have run out.
func passes(err error) bool {
	return errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EMFILE) || errors.Is(err, unix.ENFILE)
}

// backOff tries again later when descriptors have run out, each time after twice as long: thousands of links may wait.
func (k *link) backOff() {
	l := k.loop
	d := k.dial
	if !d.withoutFD {
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
