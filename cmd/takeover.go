package cmd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/zcp-go/zcp/cmd/conf"
	"github.com/zcp-go/zcp/cmd/exit"
	"github.com/zcp-go/zcp/cmd/show"
	"github.com/zcp-go/zcp/transfer"
	"github.com/zcp-go/zcp/transfer/relay"
)

// A takeover is what --takeover stands for: a new relay first takes the listeners of the old one, and then waits for
// the next. A nil one does nothing.
type takeover struct {
	out    *show.Printer
	op     conf.Operand
	conn   *net.UnixConn // to the old relay; nil: there is none
	ln     net.Listener  // for the next one
	got    []passedSocket
	next   int // index in got where the search for the next one begins
	served sync.Once
	begun  sync.WaitGroup // until the old one knows that this one serves
	passed atomic.Bool    // the next one has taken over
}

// takeOver asks the relay that serves PATH, if there is one, for its listeners.
func takeOver(out *show.Printer, op *conf.Operand) (*takeover, error) {
	if op == nil {
		return nil, nil
	}
	t := &takeover{out: out, op: *op}
	if info, err := os.Lstat(op.Path); op.Path != "" && err == nil && info.Mode().Type() != fs.ModeSocket {
		return nil, fmt.Errorf("%s: not a socket", op)
	}
	c, err := net.DialTimeout("unix", address(*op), takeoverPatience)
	switch {
	case errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ECONNREFUSED):
		return t, t.listen()
	case err != nil:
		return nil, (&connector{op: *op}).failure(err)
	}
	t.conn = c.(*net.UnixConn)
	if err := t.ask(); err != nil {
		t.close()
		return nil, fmt.Errorf("%s: take-over: %w", op, exit.Cause(err))
	}
	return t, nil
}

// listen serves PATH where no relay did.
func (t *takeover) listen() (err error) {
	if t.ln, err = transfer.ListenPlain(context.Background(), "unix", address(t.op)); err != nil {
		return (&connector{op: t.op}).failure(err)
	}
	if t.op.Path != "" {
		err = os.Chmod(t.op.Path, 0o600) // until then SO_PEERCRED protects it
	}
	return err
}

// ask takes the sockets of the old relay.
func (t *takeover) ask() error {
	if _, err := peerOfSameUser(t.conn); err != nil {
		return err
	}
	patience(t.conn, takeoverPatience)
	if err := json.NewEncoder(t.conn).Encode(takeoverAsk{Versions: []int{takeoverVersion}}); err != nil {
		return err
	}
	var answer takeoverAnswer
	r := rightsReader{c: t.conn}
	defer r.close()
	switch err := r.line(&answer); {
	case err != nil:
		return err
	case answer.Error != "":
		return errors.New(answer.Error)
	case answer.Version != takeoverVersion:
		return fmt.Errorf("version %d is not known here", answer.Version)
	}
	for i := range answer.Sockets {
		fd, err := r.descriptor()
		if err != nil {
			return err
		}
		answer.Sockets[i].fd = fd
		t.got = append(t.got, answer.Sockets[i])
	}
	return nil
}

// take returns the socket of a role and an address, which is the caller's then.
func (t *takeover) take(role string, keys ...string) (passedSocket, bool) {
	if t == nil {
		return passedSocket{}, false
	}
	for i := range t.got { // those of a range come in order: the next is usually the one
		p := &t.got[(t.next+i)%len(t.got)]
		if p.fd >= 0 && p.Role == role && slices.Contains(keys, p.Key) {
			t.next += i + 1
			found := *p
			p.fd = -1
			return found, true
		}
	}
	return passedSocket{}, false
}

// plain returns a passed listener that the relay does not serve.
func (t *takeover) plain(role string, keys ...string) (net.Listener, error) {
	p, ok := t.take(role, keys...)
	if !ok {
		return nil, nil
	}
	return transfer.AdoptPlain(p.fd)
}

// serving is called when the relay serves: the old one may drain, and the next one may come.
func (t *takeover) serving(r *relay.Relay, stats *statsServer, drain time.Duration) {
	if t == nil {
		return
	}
	t.served.Do(func() {
		t.begun.Add(1)
		go func() {
			err := t.ready()
			t.begun.Done()
			if err != nil {
				t.out.Emit(&show.Trouble{Error: fmt.Sprintf("%s: %v", t.op, exit.Cause(err)), Status: exit.Failed})
				return
			}
			t.waitForNext(r, stats, drain)
		}()
	})
}

// ready tells the old relay to drain and goes on with its socket at PATH. Listeners that were not named are closed.
func (t *takeover) ready() (err error) {
	if t.conn == nil {
		return nil
	}
	if t.ln, err = t.plain("takeover", address(t.op)); err != nil {
		return err
	}
	t.drop()
	patience(t.conn, takeoverPatience)
	err = json.NewEncoder(t.conn).Encode(takeoverReady{Ready: true})
	t.conn.Close()
	if err == nil && t.ln == nil {
		err = t.listen()
	}
	return err
}

// drop closes what was not taken.
func (t *takeover) drop() {
	for _, p := range t.got {
		if p.fd >= 0 {
			unix.Close(p.fd)
		}
	}
	t.got = nil
}

// waitForNext serves PATH until a relay has taken over.
func (t *takeover) waitForNext(r *relay.Relay, stats *statsServer, drain time.Duration) {
	for {
		c, err := t.ln.Accept()
		if err != nil {
			return // closed
		}
		pid, err := t.serve(c.(*net.UnixConn), r, stats)
		c.Close()
		if err != nil {
			t.out.Say("%s: a take-over failed, going on: %v", t.op, exit.Cause(err))
			continue
		}
		t.passed.Store(true)
		t.out.Say("process %d has taken over", pid)
		notifySystemd("MAINPID=" + strconv.Itoa(pid))
		stats.abandon()
		transfer.LeaveListener(t.ln)
		r.HandOver(drain)
		return
	}
}

// serve passes everything to the next relay and waits until it serves.
func (t *takeover) serve(c *net.UnixConn, r *relay.Relay, stats *statsServer) (pid int, err error) {
	if pid, err = peerOfSameUser(c); err != nil {
		return 0, err
	}
	patience(c, takeoverPatience)
	lines := rightsReader{c: c}
	defer lines.close()
	var ask takeoverAsk
	if err := lines.line(&ask); err != nil {
		return 0, err
	}
	if !slices.Contains(ask.Versions, takeoverVersion) {
		err := fmt.Errorf("the other zcp is too new or too old: this one knows version %d", takeoverVersion)
		_ = json.NewEncoder(c).Encode(takeoverAnswer{Error: err.Error()}) // the error is said here as well
		return 0, err
	}
	sockets, err := t.sockets(r, stats)
	defer func() {
		for _, p := range sockets {
			unix.Close(p.fd)
		}
	}()
	if err != nil {
		_ = json.NewEncoder(c).Encode(takeoverAnswer{Error: err.Error()})
		return 0, err
	}
	if err := sendSockets(c, sockets); err != nil {
		return 0, err
	}
	patience(c, takeoverStart)
	var ready takeoverReady
	if err := lines.line(&ready); err != nil {
		return 0, err
	}
	if !ready.Ready {
		return 0, errors.New("the new relay is not ready")
	}
	return pid, nil
}

// sockets duplicates everything that is passed on.
func (t *takeover) sockets(r *relay.Relay, stats *statsServer) (all []passedSocket, err error) {
	listeners, err := r.Pass()
	if err != nil {
		return nil, err
	}
	for _, p := range listeners {
		all = append(all, passedSocket{Role: "listen", Key: keyOf(p.Addr, p.FD), Inherited: p.Inherited, fd: p.FD})
	}
	plain := map[string]net.Listener{"takeover": t.ln}
	if stats != nil {
		plain["stats"] = stats.ln
	}
	for role, ln := range plain {
		fd, err := transfer.DupListener(ln)
		if err != nil {
			return all, err
		}
		all = append(all, passedSocket{Role: role, Key: keyOf(ln.Addr().String(), fd), fd: fd})
	}
	return all, nil
}

// close ends what has not come to serve: the old relay goes on.
func (t *takeover) close() {
	if t == nil {
		return
	}
	t.begun.Wait()
	t.drop()
	if t.conn != nil {
		t.conn.Close()
	}
	if t.ln != nil && !t.passed.Load() {
		t.ln.Close()
	}
}
