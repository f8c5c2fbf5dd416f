//go:build linux

package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/zcp-go/zcp/cmd/e2e/program"
	"golang.org/x/sys/unix"
)

// heldSize is the size of a file that a tool needs a while for, and part how much of it has to have
// arrived before something happens: little enough that no tool is at its end then.
const (
	heldSize = 96 << 20
	part     = 1 << 20
)

// A copying is a run of a copier.
type copying struct {
	b     *bench
	p     *process
	names []string // of the files in the tree
}

// planted makes the tree: three small files, of which one is for root, and a large one.
func (b *bench) planted(large int64) (*copying, error) {
	tree, disk := b.tree(), filepath.Join(b.work, "disk")
	err := errors.Join(os.RemoveAll(tree), os.RemoveAll(disk), os.Mkdir(tree, 0o755), os.Mkdir(disk, 0o755))
	for _, name := range []string{"group", "status", "sent"} {
		if e := os.Remove(filepath.Join(b.work, name)); !errors.Is(e, fs.ErrNotExist) {
			err = errors.Join(err, e)
		}
	}
	c := &copying{b: b, names: []string{"first", "large", "secret", "second"}}
	for _, name := range c.names {
		text := []byte(name)
		if name == "large" && large < heldSize {
			text = bytes.Repeat(text, int(large)/len(text))
		}
		err = errors.Join(err, os.WriteFile(filepath.Join(tree, name), text, 0o644))
	}
	if large >= heldSize {
		err = errors.Join(err, allocate(filepath.Join(tree, "large"), large))
	}
	// Another user has to get here.
	return c, errors.Join(err, os.Chmod(filepath.Join(tree, "secret"), 0o600), os.Chmod(b.work, 0o777), os.Chmod(disk, 0o777))
}

func (b *bench) tree() string { return filepath.Join(b.work, "tree") }

// allocate makes a file that is not sparse, with little writing.
func allocate(name string, size int64) error {
	f, err := os.OpenFile(name, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	err = unix.Fallocate(int(f.Fd()), 0, 0, size)
	for at := int64(0); at < size && err == nil; at += part {
		_, err = f.WriteAt([]byte("not a hole"), at) // what a receiver has only made room for differs
	}
	return errors.Join(err, f.Close())
}

// run starts a copier.
func (c *copying) run(command string) error {
	words := strings.Split(command, "\x00")
	port := func() string { return strconv.Itoa(program.FreePort()) }
	ports := strings.NewReplacer("PORT2", port(), "PORT3", port(), "PORT", port())
	for i, name := range []string{"send", "receive"} {
		if err := os.WriteFile(filepath.Join(c.b.work, name), []byte(ports.Replace(words[i+1])), 0o755); err != nil {
			return err
		}
	}
	start := "setsid sh send"
	if strings.HasPrefix(command, "croc\n") {
		start = "unshare -n " + start
	}
	var err error
	c.p, err = c.b.start(c.b.ctx, start, nil, nil)
	return err
}

// outcome waits for both sides and ends what they have left behind. The status is that of the sender,
// also where the receiver does not end.
func (c *copying) outcome() cell {
	seen := c.p.outcome(faultLimit)
	if text, err := os.ReadFile(filepath.Join(c.b.work, "sent")); err == nil && seen.noState {
		seen.status, _ = strconv.Atoi(strings.TrimSpace(string(text))) // echo has written a number
		seen.noState, seen.note = false, "the receiver "+seen.note
	}
	_ = syscall.Kill(-c.p.cmd.Process.Pid, syscall.SIGKILL) // all of it may have ended
	_ = c.signal(syscall.SIGKILL)
	return seen
}

// signal sends a signal to the receiver, all of its processes.
func (c *copying) signal(s syscall.Signal) error {
	text, err := os.ReadFile(filepath.Join(c.b.work, "group"))
	if err != nil {
		return err
	}
	group, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return err
	}
	return syscall.Kill(-group, s)
}

// files says what has arrived: how many files are whole, under which name of the directory, and
// which are there under their names and are not whole.
func (c *copying) files(names []string) string {
	whole, where, broken := 0, "", ""
	_ = filepath.WalkDir(filepath.Join(c.b.work, "disk"), func(name string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return nil // what cannot be read has not arrived
		}
		for _, one := range names {
			if e.Name() != one {
				continue
			}
			want, wantErr := os.ReadFile(filepath.Join(c.b.tree(), one))
			got, gotErr := os.ReadFile(name)
			inPart := strings.Contains(name, "copy.part/")
			switch {
			case errors.Join(wantErr, gotErr) == nil && bytes.Equal(want, got):
				whole++
				if inPart {
					where = " as copy.part"
				}
			case !inPart:
				broken += fmt.Sprintf(", %s broken under its name", one)
			}
		}
		return nil
	})
	return fmt.Sprintf("%d of %d files%s%s", whole, len(names), where, broken)
}

// copySmall copies a tree whose largest file has 2 MiB, to a disk of 1 MiB if full.
func (b *bench) copySmall(command string, full bool) (seen cell, err error) {
	work := func() {
		c, plantErr := b.planted(2 << 20)
		if err = plantErr; err == nil && full {
			err = unix.Mount("disk", filepath.Join(b.work, "disk"), "tmpfs", 0, "size=1m")
		}
		if err == nil {
			err = c.run(command)
		}
		if err != nil {
			return
		}
		seen = c.outcome()
		if status, _ := os.ReadFile(filepath.Join(b.work, "status")); full && len(status) > 0 {
			seen.note = fmt.Sprintf("the receiver %s", bytes.TrimSpace(status))
		}
		seen.note = strings.TrimPrefix(seen.note+"; "+c.files(c.names), "; ")
	}
	if !full {
		work()
		return seen, err
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		// Never unlocked: the thread ends with the goroutine, and the mount with the thread.
		runtime.LockOSThread()
		err = errors.Join(unix.Unshare(unix.CLONE_NEWNS), unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""))
		if err == nil {
			work()
		}
	}()
	<-done
	return seen, err
}

// midway tries a few times: the machine may be so busy that the copy is made before it is looked at.
func (b *bench) midway(command string) (c *copying, err error) {
	for range 5 {
		if c, err = b.tryMidway(command); err == nil {
			break
		}
	}
	return c, err
}

// tryMidway copies a tree with a file that takes a while, stops the receiver when a part of it has arrived,
// and returns then.
func (b *bench) tryMidway(command string) (*copying, error) {
	c, err := b.planted(heldSize)
	if err == nil {
		err = c.run(command)
	}
	if err != nil {
		return nil, err
	}
	for end := time.Now().Add(faultLimit); c.arrived() < part; time.Sleep(time.Millisecond) {
		if time.Now().After(end) || b.ctx.Err() != nil {
			c.outcome()
			return nil, fmt.Errorf("no part has arrived: %s", c.p.stderr.String())
		}
	}
	if err = c.signal(syscall.SIGSTOP); err == nil && c.arrived() > heldSize*3/4 {
		err = errors.New("most of it had arrived before the receiver could be stopped")
	}
	if err != nil {
		c.outcome()
	}
	return c, err
}

// arrived returns how many bytes the files of the receiver take: a size may be set beforehand.
func (c *copying) arrived() (n int64) {
	_ = filepath.WalkDir(filepath.Join(c.b.work, "disk"), func(name string, e fs.DirEntry, err error) error {
		var st unix.Stat_t
		if err == nil && !e.IsDir() && unix.Lstat(name, &st) == nil { // names come and go
			n += st.Blocks * 512
		}
		return nil
	})
	return n
}

// copyKilled copies a tree and kills the receiver in the middle.
func (b *bench) copyKilled(command string) (cell, error) {
	c, err := b.midway(command)
	if err != nil {
		return cell{}, err
	}
	err = c.signal(syscall.SIGKILL)
	seen := c.outcome()
	seen.note = strings.TrimPrefix(seen.note+"; "+c.files(c.names), "; ")
	return seen, err
}

// copyShrinking copies a tree and cuts off a file of which a part is under way.
func (b *bench) copyShrinking(command string) (cell, error) {
	c, err := b.midway(command)
	if err != nil {
		return cell{}, err
	}
	// The sender may hold a lease, and gives it up.
	err = errors.Join(os.Truncate(filepath.Join(b.tree(), "large"), part), c.signal(syscall.SIGCONT))
	seen := c.outcome()
	others := strings.Replace(c.files([]string{"first", "secret", "second"}), "files", "others", 1)
	large := "no large"
	for _, dir := range []string{"disk/copy", "disk/copy/tree"} {
		if info, err := os.Stat(filepath.Join(b.work, dir, "large")); err == nil {
			if large = "large shorter"; info.Size() == heldSize {
				large = "large of its old size"
			}
		}
	}
	seen.note = strings.TrimPrefix(seen.note+"; "+others+", "+large, "; ")
	return seen, err
}
