//go:build linux

package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/zcp-go/zcp/cmd/e2e/program"
	"golang.org/x/sys/unix"
)

var relays = map[string]string{
	"zcp":           "zcp relay 127.0.0.1:PORT 127.0.0.1:BACK",
	"haproxy":       "haproxy -f haproxy.cfg",
	"nginx":         "nginx -c $PWD/nginx.conf -e stderr",
	"socket-proxyd": "systemd-socket-activate -l 127.0.0.1:PORT systemd-socket-proxyd 127.0.0.1:BACK",
	"socat":         "socat TCP-LISTEN:PORT,bind=127.0.0.1,fork TCP:127.0.0.1:BACK",
}

// relayFaults are what the two ends of a relay can do to it. A relay's exit status says
// nothing about one connection; what counts is what the ends see.
func relayFaults() []fault {
	right := func(want string) func(cell) bool { return func(c cell) bool { return c.note == want } }
	const late = "all of the answer"
	return []fault{{
		name: "an answer 1 s after the end of the request (half-close)", commands: relays, right: right(late), run: relayed(lateAnswer),
	}, {
		name: "one urgent byte in 100 000", commands: relays, right: right("99999 bytes arrive"), run: relayed(urgentByte),
	}, {
		name: "the client resets: the target sees", commands: relays, right: right("a reset"), run: relayed(clientResets),
	}, {
		name: "the target resets: the client sees", commands: relays, right: right("a reset"), run: relayed(targetResets),
	}}
}

// relayed runs a relay, connects both ends through it, and lets scene play between them.
// The scene returns what it saw.
func relayed(scene func(client, target *net.TCPConn) (string, error)) func(*bench, string) (cell, error) {
	return func(b *bench, command string) (c cell, err error) {
		c.noState = true
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return c, err
		}
		defer l.Close()
		port, back := program.FreePort(), l.Addr().(*net.TCPAddr).Port
		if err := errors.Join(haproxyConfig(b.work, port, back), nginxConfig(b.work, port, back)); err != nil {
			return c, err
		}
		command = strings.NewReplacer("PORT", strconv.Itoa(port), "BACK", strconv.Itoa(back)).Replace(command)
		p, err := b.startListening(b.ctx, command, port)
		if err != nil {
			return c, err
		}
		defer func() {
			_ = p.cmd.Process.Kill() // a relay does not end by itself
			_ = p.cmd.Wait()
		}()
		client, err := net.Dial("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err != nil {
			return c, err
		}
		defer client.Close()
		// Some connect to the target only when the first byte is there.
		if _, err := client.Write([]byte("x")); err != nil {
			return c, err
		}
		target, err := l.Accept()
		if err != nil {
			return c, err
		}
		defer target.Close()
		deadline := time.Now().Add(faultLimit)
		err = errors.Join(client.SetDeadline(deadline), target.SetDeadline(deadline), readSome(target, 1))
		if err == nil {
			c.note, err = scene(client.(*net.TCPConn), target.(*net.TCPConn))
		}
		return c, err
	}
}

func lateAnswer(client, target *net.TCPConn) (string, error) {
	if err := client.CloseWrite(); err != nil {
		return "", err
	}
	if _, err := io.Copy(io.Discard, target); err != nil {
		return "", err
	}
	time.Sleep(time.Second) // the fault itself: the answer is late
	const size = 100_000
	_, writeErr := target.Write(make([]byte, size))
	target.Close()
	n, err := io.Copy(io.Discard, client)
	switch {
	case n == size && err == nil && writeErr == nil:
		return "all of the answer", nil
	case n == 0:
		return "no answer, " + ending(err), nil
	}
	return fmt.Sprintf("%d %% of the answer, %s", n*100/size, ending(err)), nil
}

func urgentByte(client, target *net.TCPConn) (string, error) {
	const size = 100_000
	raw, err := client.SyscallConn()
	if err != nil {
		return "", err
	}
	half := make([]byte, size/2-1)
	var sendErr error
	_, err = client.Write(half)
	err = errors.Join(err, raw.Write(func(fd uintptr) bool {
		// The last byte of two is the urgent one, which is out of the stream.
		sendErr = unix.Send(int(fd), []byte("u!"), unix.MSG_OOB)
		return !errors.Is(sendErr, unix.EAGAIN)
	}), sendErr)
	if err != nil {
		return "", err
	}
	_, writeErr := client.Write(make([]byte, size/2-1))
	closeErr := client.CloseWrite()
	n, err := io.Copy(io.Discard, target)
	if n == size-1 && errors.Join(err, writeErr, closeErr) == nil {
		return fmt.Sprintf("%d bytes arrive", n), nil
	}
	return fmt.Sprintf("%d bytes arrive, then %s", n, ending(err)), nil
}

func clientResets(client, target *net.TCPConn) (string, error) {
	if err := errors.Join(client.SetLinger(0), client.Close()); err != nil {
		return "", err
	}
	_, err := io.Copy(io.Discard, target)
	return ending(err), nil
}

func targetResets(client, target *net.TCPConn) (string, error) { return clientResets(target, client) }

// ending says how a stream ended.
func ending(err error) string {
	switch {
	case err == nil:
		return "an orderly end"
	case errors.Is(err, os.ErrDeadlineExceeded):
		return "nothing"
	case errors.Is(err, syscall.ECONNRESET):
		return "a reset"
	}
	return err.Error()
}
