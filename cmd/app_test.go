package cmd

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/zcp-go/zcp/cmd/conf"
	"github.com/zcp-go/zcp/cmd/exit"
	"github.com/zcp-go/zcp/cmd/show"
)

// try runs a command line as Main does, without the process around it.
func try(line string, stdout io.Writer) (stderr string, err error) {
	var said bytes.Buffer
	listening := make(chan struct{})
	close(listening)
	out := &show.Printer{W: &said}
	err = run(context.Background(), append([]string{"zcp"}, strings.Fields(line)...), environment{
		stdout: stdout, out: out, listening: listening,
		lookupEnv: func(string) (string, bool) { return "", false },
		build:     Build{Version: "v1.2.3", Commit: "abcdef", Date: "2026-11-22"},
	})
	if !exit.IsReported(err) {
		out.Error(err)
	}
	return said.String(), err
}

func TestPrinted(t *testing.T) {
	for line, want := range map[string]string{
		"--version":       "zcp 1.2.3 (abcdef, 2026-11-22, go",
		"--help":          conf.Help(),
		"help send":       "zcp send: bytes from files",
		"completion bash": "#",
	} {
		var stdout bytes.Buffer
		stderr, err := try(line, &stdout)
		if err != nil || stderr != "" || !strings.HasPrefix(stdout.String(), want) {
			t.Errorf("zcp %s: %v, stderr %q, stdout %q", line, err, stderr, stdout.String())
		}
	}
	if s := (Build{}).String(); !strings.HasPrefix(s, "zcp ") || !strings.Contains(s, "go1.") {
		t.Errorf("without -ldflags: %q", s)
	}
}

// TestNoCommand: the page of help for people, an event for programs.
func TestNoCommand(t *testing.T) {
	stderr, err := try("", nil)
	if exit.Status(err) != exit.BadUsage || stderr != conf.Help() {
		t.Errorf("%v, %q", err, stderr)
	}
	stderr, err = try("-v --json", nil)
	if exit.Status(err) != exit.BadUsage || !strings.Contains(stderr, `"no command (send,`) {
		t.Errorf("--json: %v, %q", err, stderr)
	}
}

// TestUsageAsEvent: with --json a mistake is an object too.
func TestUsageAsEvent(t *testing.T) {
	stderr, _ := try("cat --json --zzzz", nil)
	var e show.Trouble
	if err := json.Unmarshal([]byte(stderr), &e); err != nil || e.Event != "error" || e.Status != exit.BadUsage || e.Error != "unknown flag --zzzz" {
		t.Errorf("%q: %+v, %v", stderr, e, err)
	}
	if stderr, _ := try("cat -n --json", nil); !strings.Contains(stderr, `"error":"--numeric and --json cannot be used together","status":2}`) {
		t.Errorf("%q", stderr)
	}
}

// brokenWriter is a stdout that cannot be written to.
type brokenWriter struct{ err error }

func (w brokenWriter) Write([]byte) (int, error) { return 0, w.err }

func TestStdoutFails(t *testing.T) {
	for _, line := range []string{"--help", "send -h", "--version", "completion bash"} {
		stderr, err := try(line, brokenWriter{unix.ENOSPC})
		if !errors.Is(err, unix.ENOSPC) || exit.Status(err) != exit.Failed || stderr != "zcp: standard output: no space left on device\n" {
			t.Errorf("zcp %s > full: %v, %q", line, err, stderr)
		}
		if _, err = try(line, brokenWriter{unix.EPIPE}); err != error(exit.StdoutClosed) {
			t.Errorf("zcp %s | true: %v", line, err)
		}
	}
}

// TestCheckedFirst: what cannot be served is refused before anything listens.
func TestCheckedFirst(t *testing.T) {
	stderr, err := try("send -k fd:3 127.0.0.1:0 -l", nil)
	if exit.Status(err) != exit.BadUsage || !strings.HasPrefix(stderr, "zcp: fd:3: -k opens its source once for each client") {
		t.Errorf("%v, %q", err, stderr)
	}
}
