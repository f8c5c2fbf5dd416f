//go:build linux

package main

import (
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/zcp-go/zcp/cmd/e2e/program"
)

// wireFaults happen between a sender, whose status counts, and the receiver of the same tool. A command is
// both, a line each.
func wireFaults() []fault {
	both := map[string]string{}
	for tool, sender := range senders {
		both[tool] = sender + "\n" + receivers[tool]
	}
	both["zcp"] = "zcp send --verify data 127.0.0.1:PORT\nzcp recv --verify 127.0.0.1:PORT -l COPY"
	return []fault{{
		name: "one bit is changed on the way (zcp with --verify)", commands: both,
		right: func(c cell) bool { return c.status == 4 && c.said && c.note == "all of it, changed" },
		run:   func(b *bench, command string) (cell, error) { return b.flip(command) },
	}}
}

// flip runs both ends of a tool with a relay between them that changes a bit of the first byte.
func (b *bench) flip(command string) (cell, error) {
	sender, receiver, _ := strings.Cut(command, "\n")
	if rest, ok := strings.CutPrefix(receiver, "zcp "); ok { // of the same binary
		receiver = strings.Fields(sender)[0] + " " + rest
	}
	port := program.FreePort()
	receiver = strings.NewReplacer("PORT", strconv.Itoa(port), "COPY", "copy").Replace(receiver)
	r, err := b.startListening(b.ctx, receiver, port)
	if err != nil {
		return cell{}, err
	}
	c, err := b.sendInto(sender, func(from *net.TCPConn) error { return passFlipped(from, port) })
	r.outcome(faultLimit) // that it ends well cannot be wrong: it does not know
	if err == nil && !c.noState {
		if _, err = os.Stat(filepath.Join(b.work, "copy")); err == nil {
			c.note = b.arrival(b.size) + ", changed"
		}
	}
	return c, err
}

// passFlipped passes a connection on to a port.
func passFlipped(from *net.TCPConn, port int) error {
	defer from.Close()
	conn, err := net.Dial("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		return err
	}
	to := conn.(*net.TCPConn)
	defer to.Close()
	back := make(chan struct{})
	go func() {
		defer close(back)
		_, _ = io.Copy(from, to) // the sender may have gone without waiting for it
		_ = from.CloseWrite()
	}()
	first := make([]byte, 1)
	if _, err := io.ReadFull(from, first); err != nil {
		return err
	}
	first[0] ^= 1
	_, err = to.Write(first)
	if err == nil {
		_, err = io.Copy(to, from)
	}
	err = errors.Join(err, to.CloseWrite())
	// A sender that has gone without waiting for the answer is what this is about.
	<-back
	return err
}
