//go:build linux

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// runLimit ends a run in which two ends wait for each other for ever.
const runLimit = 2 * time.Minute

// run does the row's work once with one tool. With verify everything that arrives is read
// and compared; without, only its size is.
func (b *bench) run(r row, tl tool, verify bool) (sum result, err error) {
	defer func() {
		if err != nil {
			err = errors.New(strings.Join(strings.Fields(err.Error()), " "))
		}
	}()
	ctx, cancel := context.WithTimeout(b.ctx, runLimit)
	defer cancel()
	times := max(r.count, 1)
	if verify {
		times = 1
	}
	if r.relay != nil {
		return b.runRelay(ctx, r, tl, verify)
	}
	for range times {
		res, err := b.runOnce(ctx, r, tl, verify)
		if err != nil {
			return sum, err
		}
		sum.wall += res.wall
		sum.cpu[0] += res.cpu[0]
		sum.cpu[1] += res.cpu[1]
	}
	return sum, nil
}

// want returns what has to arrive.
func (b *bench) want(r row) payload {
	switch {
	case r.in:
		return payload{b.size, b.blocks}
	case r.tree != nil:
		return r.tree.sum
	case r.small:
		return b.prefix("small", 4096)
	}
	return payload{b.size, b.sum}
}

// A process is a command that runs.
type process struct {
	cmd    *exec.Cmd
	stderr bytes.Buffer
}

// start runs a command in the working folder: by sh where it holds something for sh.
func (b *bench) start(ctx context.Context, command string, stdin, stdout *os.File) (*process, error) {
	args := strings.Fields(command)
	if strings.ContainsAny(command, "|<>$") {
		if !strings.Contains(command, "|") {
			command = "exec " + command
		}
		args = []string{"sh", "-c", command}
	}
	p := &process{cmd: exec.CommandContext(ctx, args[0], args[1:]...)}
	p.cmd.Dir, p.cmd.Env, p.cmd.Stderr = b.work, b.env, &p.stderr
	p.cmd.WaitDelay = time.Second
	// A nil *os.File in an interface is not nil.
	if stdin != nil {
		p.cmd.Stdin = stdin
	}
	if stdout != nil {
		p.cmd.Stdout = stdout
	}
	return p, p.cmd.Start()
}

// wait waits for the process and returns the processor time of it and its children.
func (p *process) wait() (time.Duration, error) {
	err := p.cmd.Wait()
	if err != nil {
		err = fmt.Errorf("%w: %s", err, strings.TrimSpace(p.stderr.String()))
	}
	return p.cmd.ProcessState.UserTime() + p.cmd.ProcessState.SystemTime(), err
}

// runOnce starts the far ends and the commands, waits for all of them and checks what
// arrived. The clock runs from the start of the command, or from the connection where the
// command is the one that waits, until the last of them has ended.
func (b *bench) runOnce(ctx context.Context, r row, tl tool, verify bool) (res result, err error) {
	out := filepath.Join(b.work, "copy")
	defer os.RemoveAll(out)
	if r.tree != nil {
		if err := b.plant(r.tree); err != nil {
			return res, err
		}
	}
	if strings.Contains(tl.command+tl.receiver, "COPY") {
		if err := warm(b.size); err != nil {
			return res, err
		}
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ends, port, err := b.farEnds(r, verify, cancel)
	if err != nil {
		return res, err
	}
	defer ends.close()
	fill := strings.NewReplacer("PORT", strconv.Itoa(port), "COPY", "copy")
	command, receive := fill.Replace(tl.command), fill.Replace(tl.receiver)
	if verify && r.net == netSource {
		command = strings.Replace(command, "/dev/null", "copy", 1)
	}
	began, processes, err := b.startAll(ctx, r, command, receive, ends, port)
	for i, p := range processes {
		var waitErr error
		res.cpu[i], waitErr = p.wait()
		err = errors.Join(err, waitErr)
	}
	arrived, endsErr := ends.wait()
	res.wall = time.Since(began)
	if err = errors.Join(err, endsErr); err != nil {
		return res, err
	}
	if r.tree != nil {
		if arrived, err = sumTree(out, verify); err != nil {
			return res, err
		}
	} else if strings.Contains(command+receive, "copy") {
		if arrived, err = sumFile(out, verify); err != nil {
			return res, err
		}
	}
	if strings.Contains(command, "/dev/null") {
		return res, nil // there is nothing to look at; the first round wrote a file instead
	}
	return res, b.compare(r, arrived, verify)
}

// startAll starts a row's commands and returns when the clock began, and the processes: the
// command, and its receiver where it has one. The one that has to listen is first.
func (b *bench) startAll(ctx context.Context, r row, command, receive string, ends *farEnds, port int) (began time.Time, all []*process, err error) {
	var receiver, p *process
	if receive != "" {
		if receiver, err = b.startListening(ctx, receive, port); err != nil {
			return began, nil, err
		}
	}
	began = time.Now()
	if r.net == netSource {
		p, err = b.startListening(ctx, command, port)
		began = time.Now()
	} else {
		p, err = b.start(ctx, command, ends.stdin, ends.stdout)
		ends.closeOurs()
	}
	if err == nil && r.net == netSource {
		ends.work(func() (payload, error) { return sendTo(filepath.Join(b.work, "data"), port, b.size) })
	}
	for _, started := range []*process{p, receiver} {
		if started != nil && started.cmd.Process != nil {
			all = append(all, started)
		}
	}
	if err != nil {
		ends.failed() // what was started is not waited for
	}
	return began, all, err
}

// startListening starts a command and returns when it listens on port.
func (b *bench) startListening(ctx context.Context, command string, port int) (*process, error) {
	p, err := b.start(ctx, command, nil, nil)
	if err != nil {
		return nil, err
	}
	if err := waitListening(port); err != nil {
		_ = p.cmd.Process.Kill() // it may have ended by itself
		_, waitErr := p.wait()
		return nil, errors.Join(err, waitErr)
	}
	return p, nil
}

// compare says in which way arrived is not what was sent.
func (b *bench) compare(r row, arrived payload, verify bool) error {
	want := b.want(r)
	switch {
	case arrived.bytes != want.bytes:
		return fmt.Errorf("%d of %d bytes arrived", arrived.bytes, want.bytes)
	case verify && arrived.sum != want.sum:
		return errors.New("other bytes arrived than were sent")
	}
	return nil
}
