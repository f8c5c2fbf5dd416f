package cmd

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"github.com/zcp-go/zcp/cmd/conf"
	"github.com/zcp-go/zcp/transfer"
)

// The conversation of a relay that takes over (new) with the one that serves (old), over a Unix stream socket, in
// lines of JSON. Unknown members are ignored, and a later version says which ones it knows:
//
//	new: {"Versions":[1]}
//	old: {"Version":1,"Sockets":[{"Role":"listen","Key":"127.0.0.1:80"},...]}, and then the sockets in this order, by
//	     SCM_RIGHTS (unix(7)), at most so many to a byte as the kernel takes; or {"Error":"..."}
//	new: {"Ready":true}, when it serves them; now the old one drains. Without it the old one goes on.
type (
	takeoverAsk    struct{ Versions []int }
	takeoverAnswer struct {
		Version int
		Error   string
		Sockets []passedSocket
	}
	takeoverReady struct{ Ready bool }
	passedSocket  struct {
		Role      string // listen, stats, takeover
		Key       string
		Inherited bool // the old one was born with it
		fd        int
	}
)

const (
	takeoverVersion  = 1
	takeoverPatience = 10 * time.Second // for each step of the conversation but the last
	takeoverStart    = time.Minute      // for the new relay to serve
	mostRights       = 250              // descriptors of one message: SCM_MAX_FD is 253
	takeoverLine     = 4 << 20          // bytes of a line: 65,535 listeners fit
)

// sendSockets sends the list of sockets and the sockets.
func sendSockets(c *net.UnixConn, all []passedSocket) error {
	if err := json.NewEncoder(c).Encode(takeoverAnswer{Version: takeoverVersion, Sockets: all}); err != nil {
		return err
	}
	for some := range slices.Chunk(all, mostRights) {
		var fds []int
		for _, p := range some {
			fds = append(fds, p.fd)
		}
		if _, _, err := c.WriteMsgUnix([]byte("\n"), unix.UnixRights(fds...), nil); err != nil {
			return err
		}
	}
	return nil
}

// patience limits what comes next. Its only error is that the socket is closed (net.ErrClosed), which what comes next says too.
func patience(c *net.UnixConn, d time.Duration) { _ = c.SetDeadline(time.Now().Add(d)) }

// A rightsReader reads lines and the descriptors that come with them.
type rightsReader struct {
	c     *net.UnixConn
	bytes []byte
	fds   []int
}

// line reads one line of JSON.
func (r *rightsReader) line(to any) error {
	for {
		if i := bytes.IndexByte(r.bytes, '\n'); i >= 0 {
			line := r.bytes[:i]
			r.bytes = r.bytes[i+1:]
			if len(bytes.TrimSpace(line)) == 0 { // it carried descriptors
				continue
			}
			return json.Unmarshal(line, to)
		}
		if len(r.bytes) > takeoverLine {
			return errors.New("the line is too long")
		}
		if err := r.read(); err != nil {
			return err
		}
	}
}

// descriptor returns the next descriptor, which is the caller's then.
func (r *rightsReader) descriptor() (int, error) {
	for len(r.fds) == 0 {
		if err := r.read(); err != nil {
			return -1, err
		}
	}
	fd := r.fds[0]
	r.fds = r.fds[1:]
	return fd, nil
}

func (r *rightsReader) read() error {
	b, oob := make([]byte, 64<<10), make([]byte, unix.CmsgSpace(4*mostRights))
	n, m, flags, _, err := r.c.ReadMsgUnix(b, oob)
	r.bytes = append(r.bytes, b[:n]...)
	messages, _ := unix.ParseSocketControlMessage(oob[:m]) // what the kernel has written
	for i := range messages {
		if fds, err := unix.ParseUnixRights(&messages[i]); err == nil {
			for _, fd := range fds {
				unix.CloseOnExec(fd)
			}
			r.fds = append(r.fds, fds...)
		}
	}
	switch {
	case err != nil:
		return err
	case n == 0:
		return errors.New("the other relay has ended the conversation")
	case flags&unix.MSG_CTRUNC != 0:
		return unix.EMFILE
	}
	return nil
}

func (r *rightsReader) close() {
	for _, fd := range r.fds {
		unix.Close(fd)
	}
}

// keyOf is the address of a listening socket, by which old and new find each other: *:PORT for both IP versions.
func keyOf(addr string, fd int) string {
	if a, err := netip.ParseAddrPort(addr); err == nil && a.Addr() == netip.IPv6Unspecified() && transfer.BothVersions(fd) {
		return "*:" + strconv.Itoa(int(a.Port()))
	}
	return addr
}

// keysOf are the addresses that an operand may listen on.
func keysOf(ctx context.Context, op conf.Operand, n conf.Network) []string {
	if op.Kind == conf.Unix {
		return []string{address(op)}
	}
	network, at, err := transfer.ListenAddress(ctx, family(op, n), address(op))
	if err != nil {
		return nil // listening says what is wrong
	}
	host, port, _ := net.SplitHostPort(at) // it was made by JoinHostPort
	number, err := net.DefaultResolver.LookupPort(ctx, network, port)
	if err != nil || number == 0 {
		return nil
	}
	port = strconv.Itoa(number)
	switch {
	case host != "":
		return []string{net.JoinHostPort(host, port)}
	case network == "tcp4":
		return []string{"0.0.0.0:" + port}
	case network == "tcp6":
		return []string{"[::]:" + port}
	}
	return []string{"*:" + port, "0.0.0.0:" + port} // the second on a host without IPv6
}
