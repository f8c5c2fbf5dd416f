//go:build linux

package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/zcp-go/zcp/cmd/e2e/program"
)

// faultLimit is how long a tool may take to notice; none needs a second where it does.
const faultLimit = 20 * time.Second

var senders = map[string]string{
	"zcp":     "zcp send data 127.0.0.1:PORT",
	"nc":      "nc.openbsd -N 127.0.0.1 PORT < data",
	"ncat":    "ncat --send-only 127.0.0.1 PORT < data",
	"socat":   "socat -u OPEN:data TCP:127.0.0.1:PORT",
	"mbuffer": "mbuffer -q -i data -O 127.0.0.1:PORT",
}

var receivers = map[string]string{
	"zcp":     "zcp recv 127.0.0.1:PORT -l COPY",
	"nc":      "nc.openbsd -d -l 127.0.0.1 PORT > COPY",
	"ncat":    "ncat --recv-only -l 127.0.0.1 PORT > COPY",
	"socat":   "socat -u TCP-LISTEN:PORT,bind=127.0.0.1 STDOUT > COPY",
	"mbuffer": "mbuffer -q -I 127.0.0.1:PORT -o COPY",
}

// notDone is right where the sender or receiver must not claim success.
func notDone(c cell) bool { return !c.noState && c.status != 0 && c.said }

// senderFaults are what can go wrong at the other end of a sender.
func senderFaults() []fault {
	return []fault{{
		name: "the receiver resets after a fifth of the file", commands: senders, right: notDone,
		run: func(b *bench, command string) (cell, error) {
			return b.sendInto(command, func(c *net.TCPConn) error {
				return errors.Join(readSome(c, b.size/5), c.SetLinger(0), c.Close())
			})
		},
	}, {
		name: "the receiver reads everything, fails to store it and resets", commands: senders, right: notDone,
		run: func(b *bench, command string) (cell, error) {
			return b.sendInto(command, func(c *net.TCPConn) error {
				_, err := io.Copy(io.Discard, c)
				return errors.Join(err, c.SetLinger(0), c.Close())
			})
		},
	}, {
		name: "the receiver dies before it has accepted (64 KiB sent)", commands: renamed(senders, "data", "little"), right: notDone,
		run: func(b *bench, command string) (cell, error) { return b.sendToClosing(command) },
	}}
}

// renamed returns commands that use another file.
func renamed(commands map[string]string, from, to string) map[string]string {
	other := map[string]string{}
	for tool, command := range commands {
		other[tool] = strings.ReplaceAll(command, from, to)
	}
	return other
}

// sendInto runs a sender against a peer that does what it likes with the connection.
func (b *bench) sendInto(command string, peer func(*net.TCPConn) error) (cell, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return cell{}, err
	}
	defer l.Close()
	done := make(chan error, 1)
	go func() {
		c, err := l.Accept()
		if err == nil {
			err = peer(c.(*net.TCPConn))
		}
		done <- err
	}()
	p, err := b.start(b.ctx, at(command, l.Addr()), nil, nil)
	if err != nil {
		return cell{}, err
	}
	c := p.outcome(faultLimit)
	return c, <-done
}

// sendToClosing runs a sender whose connection waits in the queue of a listener that is
// closed when the bytes are there.
func (b *bench) sendToClosing(command string) (cell, error) {
	if err := os.WriteFile(filepath.Join(b.work, "little"), make([]byte, 64<<10), 0o644); err != nil {
		return cell{}, err
	}
	l, err := listenTCP()
	if err != nil {
		return cell{}, err
	}
	p, err := b.start(b.ctx, strings.ReplaceAll(command, "PORT", strconv.Itoa(l.port)), nil, nil)
	if err != nil {
		return cell{}, err
	}
	if err := waitQueued(l.port, 64<<10); err != nil {
		return cell{}, err
	}
	l.close()
	return p.outcome(faultLimit), nil
}

// receiverFaults are what can go wrong at the other end of a receiver, or below it.
func receiverFaults() []fault {
	return []fault{{
		name: "the sender is cut off half way (reset)", commands: receivers, right: notDone,
		run: func(b *bench, command string) (cell, error) {
			return b.receiveFrom(command, func(c *net.TCPConn) error {
				_, err := c.Write(make([]byte, b.size/2))
				// The reset must not overtake the bytes.
				return errors.Join(err, waitSent(c), c.SetLinger(0), c.Close())
			}, b.size)
		},
	}, {
		name: "nothing arrives, and a good copy is there", commands: receivers,
		right: func(c cell) bool { return notDone(c) && c.note == "all of it" },
		run: func(b *bench, command string) (cell, error) {
			if err := os.WriteFile(filepath.Join(b.work, "copy"), make([]byte, b.size), 0o644); err != nil {
				return cell{}, err
			}
			return b.receiveFrom(command, (*net.TCPConn).Close, b.size)
		},
	}, {
		name: "the disk is full (/dev/full)", right: notDone,
		commands: renamed(receivers, "COPY", "/dev/full"),
		run: func(b *bench, command string) (cell, error) {
			return b.receiveFrom(command, func(c *net.TCPConn) error {
				_, _ = c.Write(make([]byte, 1<<20)) // the receiver may break off
				return c.Close()
			}, 0)
		},
	}}
}

// receiveFrom runs a receiver and connects a peer to it that does what it likes. It notes
// how much of size bytes is in the file afterwards, where size is not 0.
func (b *bench) receiveFrom(command string, peer func(*net.TCPConn) error, size int64) (cell, error) {
	port := program.FreePort()
	command = strings.NewReplacer("PORT", strconv.Itoa(port), "COPY", "copy").Replace(command)
	p, err := b.startListening(b.ctx, command, port)
	if err != nil {
		return cell{}, err
	}
	conn, err := net.Dial("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err == nil {
		err = peer(conn.(*net.TCPConn))
	}
	c := p.outcome(faultLimit)
	if size > 0 && !c.noState {
		c.note = b.arrival(size)
	}
	return c, err
}

// pipeFaults are those of a pipeline.
func pipeFaults() []fault {
	cats := map[string]string{"zcp": "zcp cat -q data", "pv": "pv -q data", "mbuffer": "mbuffer -q -i data"}
	return []fault{{
		name: "the reader of the pipe goes away", commands: cats,
		right: func(c cell) bool { return c.status == 141 }, // as cat: it dies of SIGPIPE
		run:   func(b *bench, command string) (cell, error) { return b.pipeTo(command, readAndLeave) },
	}, {
		name: "the file is overwritten while the reader sleeps", commands: renamed(cats, "data", "little"),
		right: func(c cell) bool { return c.status == 0 && c.note == "old bytes" },
		run: func(b *bench, command string) (cell, error) {
			little := filepath.Join(b.work, "little")
			if err := os.WriteFile(little, []byte(strings.Repeat("A", 60000)), 0o644); err != nil {
				return cell{}, err
			}
			return b.pipeTo(command, func(p *process, r *os.File) (cell, error) {
				c := p.outcome(faultLimit) // it has ended, the bytes are in the pipe
				file, err := os.OpenFile(little, os.O_WRONLY, 0)
				if err == nil {
					_, err = file.WriteString(strings.Repeat("B", 60000))
					err = errors.Join(err, file.Close())
				}
				got, readErr := io.ReadAll(r)
				c.note = "old bytes"
				if n := strings.Count(string(got), "B"); n > 0 {
					c.note = fmt.Sprintf("%d of 60000 bytes are the new ones", n)
				}
				return c, errors.Join(err, readErr)
			})
		},
	}}
}

// pipeTo runs a command whose standard output is a pipe.
func (b *bench) pipeTo(command string, reader func(p *process, r *os.File) (cell, error)) (cell, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return cell{}, err
	}
	defer r.Close()
	p, err := b.start(b.ctx, command, nil, w)
	w.Close()
	if err != nil {
		return cell{}, err
	}
	return reader(p, r)
}

// readAndLeave reads a little and closes the pipe, as head does.
func readAndLeave(p *process, r *os.File) (cell, error) {
	err := errors.Join(readSome(r, 1000), r.Close())
	return p.outcome(faultLimit), err
}

// at puts the port of an address into a command.
func at(command string, addr net.Addr) string {
	return strings.ReplaceAll(command, "PORT", strconv.Itoa(addr.(*net.TCPAddr).Port))
}
