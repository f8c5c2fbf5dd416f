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
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/zcp-go/zcp/cmd/e2e/program"
)

// ready is what the shell prints, unseen, before each prompt.
const ready = "\x1b]777;ready\x07"

// patience is how long a command of the script may take.
const patience = 2 * time.Minute

// record plays the script's lines in a shell and returns what its terminal got.
func record(lines []string, cols, rows int) (cast, error) {
	dir, err := os.MkdirTemp("", "demo")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	bin, err := os.MkdirTemp("", "demo-bin")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(bin)
	if err := program.Build(context.Background(), filepath.Join(bin, "zcp")); err != nil { // not one that is installed
		return nil, err
	}
	os.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	var typed []string
	for _, line := range lines {
		if hidden, ok := strings.CutPrefix(line, "!"); ok {
			if out, err := shell(dir, hidden).CombinedOutput(); err != nil {
				return nil, fmt.Errorf("%s: %w: %s", hidden, err, out)
			}
			continue
		}
		typed = append(typed, line)
	}
	master, slave, err := openTerminal(cols, rows)
	if err != nil {
		return nil, err
	}
	defer master.Close()
	sh := shell(dir, "")
	sh.Args = []string{"bash", "--norc", "--noprofile", "-i"}
	sh.Env = append(sh.Env, "PS1=$ ", `PROMPT_COMMAND=printf '\033]777;ready\007'`, "HISTFILE=")
	sh.Stdin, sh.Stdout, sh.Stderr = slave, slave, slave
	sh.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := sh.Start(); err != nil {
		return nil, err
	}
	slave.Close()
	film, err := play(master, typed)
	_ = sh.Process.Kill() // it has been told to exit, unless the script failed
	_ = sh.Wait()
	return film, err
}

// shell makes a command in the demo's folder with an environment without surprises.
func shell(dir, command string) *exec.Cmd {
	cmd := exec.Command("bash", "-c", command)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "TERM=xterm", "LC_ALL=C.UTF-8", "HOME="+dir, "NO_COLOR=1")
	return cmd
}

// A typist types into a terminal and keeps all that comes out of it.
type typist struct {
	terminal *os.File
	output   chan chunk
	film     cast
}

// play types the lines, each when the shell is ready for it, and returns the output.
func play(master *os.File, lines []string) (cast, error) {
	t := &typist{terminal: master, output: make(chan chunk, 1024)}
	go readTerminal(master, time.Now(), t.output)
	if err := t.prompt(); err != nil {
		return nil, err
	}
	for _, line := range lines {
		var err error
		if pause, ok := strings.CutPrefix(line, "@ "); ok {
			var seconds float64
			if seconds, err = strconv.ParseFloat(pause, 64); err == nil {
				_, err = t.watch(time.Duration(seconds * float64(time.Second)))
			}
		} else {
			err = t.enter(line)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", line, err)
		}
	}
	_, err := t.watch(time.Second)
	return t.film, err
}

// enter types a line as a person would, and waits for the next prompt.
func (t *typist) enter(line string) error {
	for _, key := range line {
		if _, err := t.terminal.WriteString(string(key)); err != nil {
			return err
		}
		if _, err := t.watch(keyTime); err != nil {
			return err
		}
	}
	if _, err := t.terminal.WriteString("\r"); err != nil {
		return err
	}
	return t.prompt()
}

// keyTime is how long a person takes for a key.
const keyTime = 45 * time.Millisecond

// prompt waits until the shell is ready, and a moment longer for the prompt itself.
func (t *typist) prompt() error {
	for end := time.Now().Add(patience); time.Now().Before(end); {
		ready, err := t.watch(100 * time.Millisecond)
		if err != nil || ready {
			return err
		}
	}
	return errors.New("the shell does not ask for the next command")
}

// watch keeps what comes out for a time, and says whether the shell's mark was in it.
func (t *typist) watch(limit time.Duration) (marked bool, err error) {
	deadline := time.After(limit)
	for {
		select {
		case ch, ok := <-t.output:
			if !ok {
				return marked, errors.New("the shell has ended")
			}
			t.film = append(t.film, ch)
			marked = marked || bytes.Contains(ch.text, []byte(ready))
		case <-deadline:
			return marked, nil
		}
	}
}

// readTerminal reads the terminal until it is closed.
func readTerminal(master *os.File, began time.Time, output chan<- chunk) {
	defer close(output)
	for {
		buf := make([]byte, 32<<10)
		n, err := master.Read(buf)
		if err != nil {
			return
		}
		output <- chunk{time.Since(began), buf[:n]}
	}
}

// openTerminal opens a pseudo terminal of this size.
func openTerminal(cols, rows int) (master, slave *os.File, err error) {
	if master, err = os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0); err != nil {
		return nil, nil, err
	}
	fd := int(master.Fd())
	number, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0)
	}
	if err == nil {
		err = unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: uint16(rows), Col: uint16(cols)})
	}
	if err == nil {
		slave, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	}
	if err != nil {
		master.Close()
		return nil, nil, err
	}
	return master, slave, nil
}
