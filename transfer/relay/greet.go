package relay

import (
	"net/netip"
	"time"

	"golang.org/x/sys/unix"

	"github.com/zcp-go/zcp/transfer"
	"github.com/zcp-go/zcp/transfer/internal/sock"
)

// A greeting is what a link needs until its client has said its PROXY header.
type greeting struct {
	head   [proxyKept]byte
	got    int   // bytes read, also those that head has no room for
	length int   // of the header; 0: not known yet
	until  int64 // when it is late
}

// greetingLimit is how long a client may take for its header. The specification wants at least 3 s, so that
// one retransmission fits.
var greetingLimit = 5 * time.Second // a variable for tests

// wantsHeader tells whether a peer has to say a header.
func (r *Relay) wantsHeader(peer netip.AddrPort) bool {
	if !peer.IsValid() {
		return r.AcceptProxyUnix
	}
	return len(r.AcceptProxy) > 0 && (&transfer.Gate{Allow: r.AcceptProxy}).Admits(peer.Addr())
}

// greet begins to read the header of a link's client.
func (k *link) greet() {
	l := k.loop
	k.greeting = &greeting{until: l.now + int64(greetingLimit)}
	k.schedule(k.greeting.until)
	k.readGreeting()
}

// readGreeting reads of the header what is there, and not a byte more: what follows stays in the socket, to be
// spliced. MSG_PEEK shows how much of it belongs to the header. All that does is read, so a poller that
// is level-triggered is not woken for it again.
func (k *link) readGreeting() {
	g, fd := k.greeting, k.ends[clientEnd].FD()
	var b [1024]byte
	for {
		n, err := sock.Recv(fd, b[:], unix.MSG_PEEK)
		switch {
		case err == unix.EAGAIN:
			if err := k.watch(clientEnd, pollIn); err != nil {
				k.end(Failed, err)
			}
			return
		case (n == 0 || err != nil) && g.got == 0: // a probe: connected, and no more
			k.endProbe(err)
			return
		case err != nil:
			k.endBroken(clientEnd, err)
			return
		case n == 0:
			k.end(NoHeader, ErrBadHeader)
			return
		}
		if err := g.take(fd, b[:n]); err != nil {
			k.end(NoHeader, err)
			return
		}
		if g.got == g.length {
			k.greeted()
			return
		}
	}
}

// take reads what belongs to the header of b, which was peeked.
func (g *greeting) take(fd int, b []byte) error {
	if g.length == 0 {
		start := append(g.head[:g.got:g.got], b...)
		var err error
		if g.length, err = proxyLength(start); err != nil {
			return err
		}
	}
	if g.length > 0 {
		b = b[:min(len(b), g.length-g.got)]
	}
	n, err := sock.Recv(fd, b, 0)
	if err != nil {
		return err
	}
	if g.got < len(g.head) {
		copy(g.head[g.got:], b[:n])
	}
	g.got += n
	return nil
}

// greeted goes on with the client that the header names.
func (k *link) greeted() {
	l, g := k.loop, k.greeting
	p, err := parseProxy(g.head[:min(g.got, len(g.head))])
	if err != nil {
		k.end(NoHeader, err)
		return
	}
	if p.from.IsValid() {
		k.peer = p.from
		if l.r.SendProxy != 0 {
			k.header = &p
		}
	}
	if !l.r.Gate.Admits(k.peer.Addr()) {
		k.end(NotAdmitted, nil)
		return
	}
	k.greeting = nil
	if err := k.watch(clientEnd, 0); err != nil {
		k.end(Failed, err)
		return
	}
	k.beginDial()
}

// endProbe closes a connection on which there was not a byte: a health check or a port scan. It is closed in order.
func (k *link) endProbe(err error) {
	if err == nil && k.ends[clientEnd].Kind() == transfer.TCP {
		_ = sock.Disarm(k.ends[clientEnd].FD(), unix.Linger{}) // does not fail on a socket
	}
	k.end(Ended, nil)
}

// sendHeader sends the target a header, in a segment of its own before the first byte. A new socket has room for it.
func (k *link) sendHeader() error {
	version := k.loop.r.SendProxy
	if version == 0 {
		return nil
	}
	p := proxied{from: k.peer}
	if k.header != nil {
		p, k.header = *k.header, nil
	} else if k.peer.IsValid() {
		p.to = sock.LocalAddr(k.ends[clientEnd].FD())
	}
	var room [proxyMax1]byte
	b := appendProxy(room[:0], version, p)
	n, err := sock.RetryN(func() (int, error) { return unix.Write(k.ends[targetEnd].FD(), b) })
	if err == nil && n < len(b) {
		err = unix.ENOBUFS
	}
	return err
}
