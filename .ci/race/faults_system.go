//go:build linux

package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/zcp-go/zcp/cmd/e2e/program"
)

// computedFile is a file of sysfs: fstat(2) says 4096 bytes, and there are fewer.
const computedFile = "/sys/devices/system/cpu/online"

// computed notes whether a tool has copied all of a file whose size is not one.
func (b *bench) computed(command string) (cell, error) {
	name := filepath.Join(b.work, "copy")
	defer os.Remove(name)
	p, err := b.start(b.ctx, command, nil, nil)
	if err != nil {
		return cell{}, err
	}
	c := p.outcome(faultLimit)
	said := strings.Fields(p.stderr.String())
	want, wantErr := os.ReadFile(computedFile)
	got, gotErr := os.ReadFile(name)
	c.note = "all of it"
	if string(got) != string(want) {
		c.note = fmt.Sprintf("%d of %d bytes", len(got), len(want))
	}
	if len(said) > 0 {
		c.note += ", and the last number shown is " + said[len(said)-1]
	}
	return c, errors.Join(wantErr, gotErr)
}

// systemFaults are those of the system around a sender or a receiver.
func systemFaults() []fault {
	return []fault{{
		name: "no listener, and the source port is the target's: it connects to itself", right: notDone,
		commands: map[string]string{
			"zcp":   "zcp send --bind 127.0.0.1:PORT data 127.0.0.1:PORT",
			"nc":    "nc.openbsd -N -s 127.0.0.1 -p PORT 127.0.0.1 PORT < data",
			"ncat":  "ncat --send-only -s 127.0.0.1 -p PORT 127.0.0.1 PORT < data",
			"socat": "socat -u OPEN:data TCP:127.0.0.1:PORT,bind=127.0.0.1:PORT,reuseaddr",
		},
		run: func(b *bench, command string) (cell, error) {
			p, err := b.start(b.ctx, strings.ReplaceAll(command, "PORT", strconv.Itoa(program.FreePort())), nil, nil)
			if err != nil {
				return cell{}, err
			}
			return p.outcome(faultLimit), nil
		},
	}, {
		name: "close(2) of the file brings the error (quota, NFS)", commands: receivers, right: notDone,
		run: func(b *bench, command string) (cell, error) {
			// Both names: zcp closes copy.part before it gives it its name.
			inject := fmt.Sprintf("strace -f -qq -o /dev/null -P %[1]s -P %[1]s.part -e trace=close -e inject=close:error=EDQUOT ", filepath.Join(b.work, "copy"))
			return b.receiveFrom(inject+command, sendHalf(b), 0)
		},
	}, {
		name: "TERM to it as process 1 of a container", commands: receivers,
		right: func(c cell) bool { return !c.noState && c.status == 128+int(syscall.SIGTERM) },
		run:   func(b *bench, command string) (cell, error) { return b.endProcess1(command) },
	}, {
		name:     "a file of sysfs, 4096 bytes by fstat and 4 in it, is copied",
		commands: map[string]string{"zcp": "zcp cat -n " + computedFile + " -o copy", "pv": "pv -n " + computedFile + " > copy"},
		right:    func(c cell) bool { return c.status == 0 && strings.HasPrefix(c.note, "all of it") },
		run:      (*bench).computed,
	}}
}

// sendHalf is a peer that sends half of what there could be and ends in order, if it is let.
func sendHalf(b *bench) func(*net.TCPConn) error {
	return func(c *net.TCPConn) error {
		_, _ = c.Write(make([]byte, b.size/2)) // the receiver may break off
		return c.Close()
	}
}

// endProcess1 runs a receiver as process 1 of a PID namespace and sends it SIGTERM from outside.
func (b *bench) endProcess1(command string) (cell, error) {
	port := program.FreePort()
	command = strings.NewReplacer("PORT", strconv.Itoa(port), "COPY", "copy").Replace(command)
	p, err := b.startListening(b.ctx, "unshare --pid --fork --kill-child "+command, port)
	if err != nil {
		return cell{}, err
	}
	pid := p.cmd.Process.Pid
	children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	if err != nil {
		return cell{}, err
	}
	child, err := strconv.Atoi(strings.TrimSpace(string(children)))
	if err != nil {
		return cell{}, errors.Join(errors.New("unshare has no child"), err)
	}
	if err := syscall.Kill(child, syscall.SIGTERM); err != nil {
		return cell{}, err
	}
	return p.outcome(faultLimit), nil
}
