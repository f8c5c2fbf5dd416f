package cmd

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/zcp-go/zcp/cmd/atstart"
	"github.com/zcp-go/zcp/cmd/exit"
	"github.com/zcp-go/zcp/cmd/processors"
	"github.com/zcp-go/zcp/cmd/show"
)

// A start takes less than this; what goes on for longer may be divided among processors.
const startTime = 25 * time.Millisecond

// Main runs the command line and returns the exit status. It is the one place that ends
// the program: it prints the final error and picks the status, or dies of the signal that
// asked for the end.
func Main(b Build) int {
	out := &show.Printer{W: os.Stderr, Journal: show.ToJournal(os.Stderr, os.Getenv("JOURNAL_STREAM"))}
	if err := atstart.Room(); err != nil {
		out.Error(err)
		return exit.Failed
	}
	time.AfterFunc(startTime, useProcessors) // behind Room: the runtime makes its poller for it
	ctx, listening := untilSignal(out)
	err := run(ctx, os.Args, environment{stdout: os.Stdout, out: out, lookupEnv: os.LookupEnv, build: b, listening: listening})
	died, bySignal := errors.AsType[*exit.Signaled](err)
	if !bySignal && !exit.IsReported(err) {
		out.Error(err)
	}
	out.Flush(show.LastWords)
	if bySignal {
		return dieOf(died.Signal)
	}
	return exit.Status(err)
}

func useProcessors() { processors.Use(os.Getenv("GOMAXPROCS")) }

// untilSignal returns a context that ends with the first signal that asks for the end, whose
// name is its cause. A signal that was ignored when the program started stays ignored (nohup, a
// shell's background job). SIGUSR1 asks for a status line.
//
// The runtime is asked for signals beside what follows, for each one is a round trip between
// threads. listening is closed when all of them are heard.
func untilSignal(out *show.Printer) (ctx context.Context, listening <-chan struct{}) {
	ctx, cancel := context.WithCancelCause(context.Background())
	// When the reader of stderr goes away, transfers go on; a write to it is then an error like
	// any other, and so is one to stdout, of which the program dies itself.
	signal.Ignore(syscall.SIGPIPE)
	ready := make(chan struct{})
	go func() {
		ends, asks := make(chan os.Signal, 2), make(chan os.Signal, 1)
		for _, s := range []os.Signal{syscall.SIGHUP, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGTERM} {
			if !signal.Ignored(s) {
				signal.Notify(ends, s)
			}
		}
		signal.Notify(asks, syscall.SIGUSR1)
		close(ready)
		handleSignals(ends, asks, cancel, out.Ask)
	}()
	return ctx, ready
}

// handleSignals never returns: of two signals that ask for the end the second one kills.
func handleSignals(ends, asks <-chan os.Signal, cancel context.CancelCauseFunc, answer func()) {
	for ended := false; ; {
		select {
		case <-asks:
			answer()
		case s := <-ends:
			if ended {
				os.Exit(dieOf(s.(syscall.Signal)))
			}
			cancel(&exit.Signaled{Signal: s.(syscall.Signal)})
			ended = true
		}
	}
}

// dieOf ends the process by a signal, so that a shell sees how it ended. It returns the
// status that stands for it where that does not work: the kernel drops a signal with its
// default action that process 1 of a container sends itself (pid_namespaces(7)), and one that
// the parent has blocked stays pending (JVM, .NET).
func dieOf(s unix.Signal) (status int) {
	signal.Reset(s)
	setDefault(s)
	// To this thread, which takes it before the call returns, if it takes it at all.
	killSelf(s)
	return (&exit.Signaled{Signal: s}).ExitStatus()
}
