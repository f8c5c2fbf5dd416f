package cmd

import (
	"errors"
	"fmt"
	"time"

	"github.com/zcp-go/zcp/cmd/exit"
	"github.com/zcp-go/zcp/cmd/show"
	"github.com/zcp-go/zcp/cmd/text"
	"github.com/zcp-go/zcp/transfer"
)

// complete tells whether as many bytes came as were promised.
func (j *job) complete(from string) error {
	n := j.d.position()
	if j.length.Size < 0 || j.length.Estimate || n >= j.length.Size {
		return nil
	}
	return &exit.Failure{Status: exit.Incomplete, Hint: "an estimate, which is never an error, is --size ~SIZE",
		Err: fmt.Errorf("%s: ended after %s, %s bytes short of --size", from, text.Size(n), text.Grouped(j.length.Size-n))}
}

// closeOrderly ends a connection on which everything was said.
func (j *job) closeOrderly() error {
	j.d.mu.Lock() // a status line of several deliveries may still ask it
	err := j.d.conn.CloseGracefully()
	j.d.mu.Unlock()
	if err != nil {
		return fmt.Errorf("%s: everything was moved, but the connection cannot be closed: %w", j.pair(), exit.Cause(err))
	}
	return nil
}

// failure puts the error of a transfer in the user's words: the file alone where it is the
// file's, both ends where it is the connection between them, and how far it got.
func (j *job) failure(err error) error {
	at := exit.Where{Subject: j.pair(), After: j.soFar()}
	if side, ok := errors.AsType[*transfer.Error](err); ok {
		err, at.Place = side.Err, j.d.place(side.Side)
		switch {
		case at.Place == exit.Connected:
		case side.Side == transfer.Source:
			at.Subject = j.from
		case side.Side == transfer.Destination:
			at.Subject = j.destination()
			if j.stdout {
				at.Place = exit.Stdout
			}
		}
	}
	return exit.Classify(err, at)
}

// soFar tells the bytes delivered, and of a connection what its peer has acknowledged.
func (j *job) soFar() string {
	n, acked := j.d.bytes(), j.d.acked() // without what was there before
	if acked >= n {
		return text.Size(n)
	}
	return fmt.Sprintf("%s acknowledged (%s more were queued)", text.Size(acked), text.Size(n-acked))
}

// end prints the last line, in the form and to the audience that the command has for it.
func (j *job) end(verb, where, note string, to show.Audience, err error) {
	j.stop(err == nil)
	e := show.Done(verb, show.Snapshot{Bytes: j.d.bytes(), Acked: j.d.acked(), Offset: j.d.t.Stats.Offset.Load(), Files: j.tree.Files()}, j.took())
	e.What, e.Where, e.Later = j.movedName(), where, j.d.closedLater()
	if j.served {
		j.moved, j.note = e.Moved, note
		return
	}
	e.Note, e.To, e.Breaks = note, to, j.breaks
	e.Verified = err == nil && j.proof.verified
	j.sayLast(e, j, err)
	j.explainRan()
}

// sayLast says the last line, with how the bytes of ran went, the digest or the error.
func (j *job) sayLast(e *show.End, ran *job, err error) {
	e.Path, e.Calls, e.Fallbacks = ran.ran(), ran.d.t.Stats.Calls.Load(), int64(len(ran.d.t.Stats.Fallbacks()))
	if err == nil && j.proof.say {
		e.Hash, e.Digest = j.proof.alg, j.proof.digest
	}
	if err != nil {
		e.Status, e.Error = exit.Status(err), err.Error()
	}
	j.out.Emit(e)
	if j.progress != nil && err == nil {
		j.progress.Curve()
	}
}

// took is the time that the bytes took, without that in which the process was stopped.
func (j *job) took() time.Duration {
	took := j.d.took()
	if j.progress != nil {
		took = max(0, took-j.progress.Stopped())
	}
	return took
}

// refused emits for --json that nothing was begun, because of err, which has its words already.
func (j *job) refused(err error) error {
	j.stop(false)
	if _, usage := errors.AsType[*exit.Usage](err); !usage {
		j.end("", "", "", show.ForMost, err)
	}
	return err
}

// fail ends a job that has no good end. It returns err in words, for Main to print.
func (j *job) fail(err error) error {
	j.stop(false)
	err = j.failure(err)
	said := j.withKept(err)
	if sig, ok := errors.AsType[*exit.Signaled](err); ok {
		said = err
		if sig != exit.StdoutClosed && j.d.began.Load() != nil {
			said = j.withKept(&exit.Failure{Err: fmt.Errorf("%s: %w after %s", j.pair(), sig, j.soFar()), Status: sig.ExitStatus()})
			if !j.served {
				j.out.Say("%v", said)
			}
		}
	} else {
		err = said
	}
	j.end("", "", "", show.ForMost, said)
	return err
}

// breakOff is fail for a job with a connection, which is reset: the peer cannot take a part
// for the whole.
func (j *job) breakOff(err error) error {
	err = j.fail(err)
	if j.d.conn != nil { // not where it has broken already, and no other came
		j.d.mu.Lock()
		j.d.conn.Close()
		j.d.mu.Unlock()
	}
	return err
}

// withKept adds to its message what a failure left behind: on the disk, and in a descriptor that
// another program may go on reading.
func (j *job) withKept(err error) error {
	kept := j.kept
	if lost := j.d.t.Stats.Lost.Load(); lost > 0 && j.shared {
		kept = text.Size(lost) + " more were read from it and are lost"
	}
	if kept == "" {
		return err
	}
	return &exit.Failure{Err: fmt.Errorf("%w; %s", err, kept), Status: exit.Status(err), Hint: exit.Hint(err)}
}
